import { expect } from 'chai';

import type { RawNode } from '../../src/raft/raw-node.js';
import { message, MessageType, Role } from '../../src/raft/types.js';
import type { Message } from '../../src/raft/types.js';
import { Lone } from './support/lone.js';
import { Random, seeds } from './support/random.js';

const NUMBERS = [
  0,
  1,
  2,
  3,
  5,
  7,
  100,
  2 ** 31,
  2 ** 32,
  2 ** 52,
  2 ** 53 - 1,
  2 ** 53,
  -1,
  0.5,
  NaN,
  Infinity,
];
const ODD: readonly unknown[] = [
  undefined,
  null,
  '',
  '7',
  {},
  [],
  true,
  3n,
  -4n,
  () => 0,
  Symbol.iterator,
];

function hostileValue(random: Random, key: keyof Message): unknown {
  if (random.chance(60)) return random.pick(ODD);
  switch (key) {
    case 'to':
      return random.chance(900) ? 1n : 2n;
    case 'from':
    case 'transferee':
      return BigInt(random.below(5));
    case 'reject':
    case 'force':
      return random.chance(500);
    case 'type':
      return random.below(18);
    case 'entries':
      return Array.from({ length: random.below(4) }, (_, i) =>
        random.chance(50)
          ? random.pick(ODD)
          : {
              term: random.chance(900) ? random.below(5) : random.pick(NUMBERS),
              index: random.chance(900) ? i + 1 + random.below(3) : random.pick(NUMBERS),
              type: random.below(3),
              data: random.chance(950) ? new Uint8Array(3) : random.pick(ODD),
            },
      );
    case 'snapshot':
      if (random.chance(300)) return null;
      return {
        index: random.chance(800) ? random.below(9) : random.pick(NUMBERS),
        term: random.below(6),
        confState: random.chance(900)
          ? {
              voters: Array.from({ length: random.below(4) }, () => BigInt(random.below(4))),
              learners: random.chance(100) ? [random.pick(ODD)] : [],
            }
          : random.pick(ODD),
      };
    default:
      return random.chance(850) ? random.below(8) : random.pick(NUMBERS);
  }
}

function hostileMessage(random: Random): Message {
  const m = message(MessageType.append, 1n);
  for (const key of Object.keys(m) as (keyof Message)[]) {
    Reflect.set(m, key, hostileValue(random, key));
  }
  return m;
}

describe('hostile messages (R26)', () => {
  it('never make the core throw, and never lower its term or commit index', () => {
    for (const seed of seeds(1, 400)) {
      const random = new Random(seed);
      let l = hostileTarget(random);
      let { term, commitIndex } = l.node;
      let stuck = false;
      for (let i = 0; i < 250; i++) {
        const m = hostileMessage(random);
        try {
          l.node.step(m);
          if (random.chance(100)) l.tick(1);
          // A snapshot accepted from a believable message is never installed here.
          if (!stuck) stuck = pumpUntilEnd(l.node);
        } catch (error) {
          throw new Error(`SEED=${seed} step ${i}: ${String(error)}`, { cause: error });
        }
        expect(l.node.term, `SEED=${seed}`).to.be.at.least(term);
        expect(l.node.commitIndex, `SEED=${seed}`).to.be.at.least(commitIndex);
        expect(l.node.commitIndex, `SEED=${seed}`).to.be.at.most(l.node.lastIndex);
        if (stuck && random.chance(200)) {
          l = hostileTarget(random);
          stuck = false;
        }
        ({ term, commitIndex } = l.node);
      }
    }
  });

  it('are dropped when their numbers leave no room for later terms', () => {
    const l = new Lone();
    l.step(MessageType.append, 2n, { term: 2 ** 53 - 1 });
    expect(l.node.term).to.equal(0);
  });

  it('cannot make a message of the member itself or of a stranger count', () => {
    const l = new Lone();
    l.elect();
    expect(l.node.role).to.equal(Role.leader);
    l.step(MessageType.appendResponse, 1n, { index: 1 });
    l.step(MessageType.appendResponse, 9n, { index: 1 });
    expect(l.node.commitIndex).to.equal(0);
  });
});

function hostileTarget(random: Random): Lone {
  const l = new Lone({
    log: [1, 1, 2],
    commit: random.below(3),
    config: { preVote: random.chance(500), checkQuorum: random.chance(500) },
  });
  if (random.chance(600)) l.elect();
  return l;
}

/** Does the work of every Ready; true once a snapshot or a contradiction was handed out: nothing more is done then. */
function pumpUntilEnd(node: RawNode): boolean {
  while (node.hasReady()) {
    const rd = node.ready();
    if (rd.snapshot !== null || rd.contradiction !== null) return true;
    const last = rd.entries[rd.entries.length - 1];
    if (rd.mustSync) node.synced(last?.index ?? 0, last?.term ?? rd.hardState?.term ?? 0);
    const done = rd.committed[rd.committed.length - 1];
    if (done !== undefined) node.applied(done.index);
  }
  return false;
}
