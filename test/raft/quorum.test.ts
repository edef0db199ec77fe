import { expect } from 'chai';
import fc from 'fast-check';

import { applyChange, canonicalConf, isUsableConf } from '../../src/raft/confchange.js';
import { majority, quorumValue, voteOutcome } from '../../src/raft/quorum.js';
import { ConfChangeType } from '../../src/raft/types.js';
import type { ConfChange, ConfState } from '../../src/raft/types.js';

describe('quorum arithmetic', () => {
  it('finds the same value as trying every candidate (R7)', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(12), { minLength: 1, maxLength: 9 }), (values) => {
        let best = 0;
        for (let v = 0; v <= 12; v++) {
          if (values.filter((x) => x >= v).length > values.length / 2) best = v;
        }
        expect(quorumValue([...values], values.length)).to.equal(best);
      }),
    );
  });

  it('looks at the first n values only', () => {
    expect(quorumValue([1, 2, 3, 99, 99, 99], 3)).to.equal(2);
    expect(quorumValue([5], 0)).to.equal(0);
  });

  it('decides an election exactly when no remaining vote can change it', () => {
    for (let n = 1; n <= 9; n++) {
      for (let yes = 0; yes <= n; yes++) {
        for (let no = 0; yes + no <= n; no++) {
          const wins = (granted: number): boolean => granted > n / 2;
          const expected = wins(yes) ? 'won' : wins(n - no) ? 'pending' : 'lost';
          expect(voteOutcome(n, yes, no), `${yes} of ${n}, ${no} against`).to.equal(expected);
        }
      }
    }
  });

  it('takes more than half', () => {
    for (let n = 1; n < 100; n++) {
      expect(majority(n) * 2).to.be.greaterThan(n);
      expect((majority(n) - 1) * 2).to.be.at.most(n);
    }
  });
});

/** All subsets of `ids` that are majorities of it. */
function majorities(ids: readonly bigint[]): bigint[][] {
  const all: bigint[][] = [];
  for (let bits = 0; bits < 1 << ids.length; bits++) {
    const some = ids.filter((_, i) => (bits & (1 << i)) !== 0);
    if (some.length > ids.length / 2) all.push(some);
  }
  return all;
}

const changes = fc.record({
  type: fc.constantFrom(...Object.values(ConfChangeType)),
  memberId: fc.bigInt({ min: 0n, max: 7n }),
  context: fc.constant(new Uint8Array(0)),
});

describe('membership changes', () => {
  it('keep the configuration usable and every two neighbouring majorities intersecting (I8)', () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 25 }), (list: ConfChange[]) => {
        let conf: ConfState = { voters: [1n, 2n, 3n], learners: [] };
        for (const change of list) {
          const after = applyChange(conf, change);
          expect(isUsableConf(after)).to.equal(true);
          expect(after).to.deep.equal(canonicalConf(after));
          for (const a of majorities(conf.voters)) {
            for (const b of majorities(after.voters)) {
              expect(
                a.some((id) => b.includes(id)),
                `${conf.voters} -> ${after.voters}`,
              ).to.equal(true);
            }
          }
          conf = after;
        }
      }),
      { numRuns: 60 },
    );
  });

  it('agree with a naive model', () => {
    fc.assert(
      fc.property(fc.array(changes, { maxLength: 25 }), (list: ConfChange[]) => {
        let conf: ConfState = { voters: [1n], learners: [] };
        const model = new Map<bigint, 'voter' | 'learner'>([[1n, 'voter']]);
        for (const change of list) {
          conf = applyChange(conf, change);
          const { memberId: id, type } = change;
          const role = model.get(id);
          const voters = [...model.values()].filter((v) => v === 'voter').length;
          if (id === 0n) continue;
          if (type === ConfChangeType.addVoter) model.set(id, 'voter');
          if (type === ConfChangeType.addLearner && role === undefined) model.set(id, 'learner');
          if (type === ConfChangeType.removeMember && !(role === 'voter' && voters === 1))
            model.delete(id);
        }
        const of = (role: string): bigint[] =>
          [...model]
            .filter(([, r]) => r === role)
            .map(([id]) => id)
            .sort((a, b) => Number(a - b));
        expect(conf).to.deep.equal({ voters: of('voter'), learners: of('learner') });
      }),
    );
  });

  it('do nothing when they make no sense, and never throw (C18, R17)', () => {
    const conf: ConfState = { voters: [1n], learners: [2n] };
    const at = (type: number, memberId: bigint): ConfState =>
      applyChange(conf, { type: type as ConfChangeType, memberId, context: new Uint8Array(0) });
    expect(at(ConfChangeType.removeMember, 1n), 'the last voter').to.equal(conf);
    expect(at(ConfChangeType.removeMember, 9n), 'an unknown member').to.equal(conf);
    expect(at(ConfChangeType.addLearner, 1n), 'a voter made a learner').to.equal(conf);
    expect(at(ConfChangeType.addVoter, 1n), 'a voter again').to.equal(conf);
    expect(at(ConfChangeType.addVoter, 0n), 'nobody').to.equal(conf);
    expect(at(ConfChangeType.updateMember, 2n), 'H3: an update touches no role').to.equal(conf);
    expect(at(17, 2n), 'an unknown type').to.equal(conf);
  });
});
