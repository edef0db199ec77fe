import { expect } from 'chai';

import { Inflights } from '../../src/raft/inflights.js';
import { Progress, ProgressState } from '../../src/raft/progress.js';
import { Random, seeds } from './support/random.js';

function progress(): Progress {
  return new Progress(2n, false, 1, new Inflights(4, 100));
}

describe('Inflights', () => {
  it('behaves like a list of messages', () => {
    for (const seed of seeds(1, 50)) {
      const random = new Random(seed);
      const window = new Inflights(20, 300);
      let model: { index: number; bytes: number }[] = [];
      let index = 0;
      for (let i = 0; i < 300; i++) {
        const sum = model.reduce((n, m) => n + m.bytes, 0);
        expect(window.count, `SEED=${seed}`).to.equal(model.length);
        expect(window.bytes, `SEED=${seed}`).to.equal(sum);
        expect(window.full(), `SEED=${seed}`).to.equal(model.length >= 20 || sum >= 300);
        if (random.chance(600) && !window.full()) {
          index += 1 + random.below(3);
          const bytes = random.below(60);
          window.add(index, bytes);
          model.push({ index, bytes });
        } else if (random.chance(950)) {
          const to = index - random.below(12);
          window.freeTo(to);
          model = model.filter((m) => m.index > to);
        } else {
          window.reset();
          model = [];
        }
      }
    }
  });

  it('refuses to be overfilled', () => {
    const window = new Inflights(1, 1000);
    window.add(1, 1);
    expect(() => window.add(2, 1)).to.throw('window');
  });
});

describe('Progress', () => {
  it('empties the window on every change of state (C5)', () => {
    const changes: ((p: Progress) => void)[] = [
      (p) => p.becomeProbe(),
      (p) => p.becomeReplicate(),
      (p) => p.becomeSnapshot(9),
      (p) => p.resetForTerm(3),
      (p) => p.admit(2, 5),
    ];
    for (const change of changes) {
      const p = progress();
      p.admit(1, 0);
      p.becomeReplicate();
      p.inflights.add(1, 10);
      change(p);
      expect([p.inflights.count, p.inflights.bytes]).to.deep.equal([0, 0]);
    }
  });

  it('keeps match below next after any reports (R20)', () => {
    for (const seed of seeds(1, 100)) {
      const random = new Random(seed);
      const p = progress();
      for (let i = 0; i < 200; i++) {
        const n = random.below(30);
        switch (random.below(7)) {
          case 0:
            p.becomeProbe();
            break;
          case 1:
            p.becomeReplicate();
            break;
          case 2:
            p.becomeSnapshot(p.match + 1 + n);
            break;
          case 3:
            p.snapshotFailed();
            break;
          case 4:
            p.maybeDecreaseTo(n, random.below(30));
            break;
          case 5:
            p.admit(random.below(3), random.below(5));
            break;
          default:
            p.maybeUpdate(n);
        }
        expect(p.match, `SEED=${seed}`).to.be.lessThan(p.next);
      }
    }
  });

  it('ignores rejections that do not concern the present state (R21)', () => {
    const p = progress();
    p.maybeUpdate(5);
    p.becomeReplicate();
    expect(p.maybeDecreaseTo(5, 0), 'already matched').to.equal(false);
    expect(p.maybeDecreaseTo(9, 0), 'never sent').to.equal(false);
    p.next = 10;
    expect(p.maybeDecreaseTo(9, 0)).to.equal(true);
    expect([p.state, p.next]).to.deep.equal([ProgressState.probe, 6]);
    expect(p.maybeDecreaseTo(8, 2), 'not the present probe').to.equal(false);
    p.becomeSnapshot(20);
    expect(p.maybeDecreaseTo(20, 0), 'a snapshot is on its way').to.equal(false);
  });

  it('never probes below the index known to match, nor above the hint (C24)', () => {
    const p = progress();
    p.maybeUpdate(3);
    p.next = 10;
    expect(p.maybeDecreaseTo(9, 6)).to.equal(true);
    expect(p.next).to.equal(7);
    expect(p.maybeDecreaseTo(6, 0)).to.equal(true);
    expect(p.next).to.equal(4);
  });

  it('distinguishes the answers of a restarted member from those of its earlier life (R34, C19)', () => {
    const p = progress();
    expect(p.admit(10, 0), 'the first one seen').to.equal(true);
    p.maybeUpdate(7);
    p.becomeReplicate();
    p.ackedRound = 4;
    expect(p.admit(20, 0), 'an append answer of another life').to.equal(false);
    expect(p.admit(20, 4), 'a round the recorded one answered too').to.equal(false);
    expect(p.match).to.equal(7);
    expect(p.admit(20, 5), 'a later round').to.equal(true);
    expect([p.match, p.next, p.state]).to.deep.equal([0, 8, ProgressState.probe]);
    expect(p.admit(10, 0), 'the earlier life, late').to.equal(false);
    p.ackedRound = 5;
    expect(p.admit(10, 3)).to.equal(false);
  });

  it('heals when a late answer of a dead process was taken for the living one', () => {
    const p = progress();
    p.admit(20, 1);
    p.ackedRound = 1;
    expect(p.admit(10, 2), 'the dead one answered round 2 before it died').to.equal(true);
    p.ackedRound = 2;
    expect(p.admit(20, 3), 'the living one answers the next').to.equal(true);
    expect(p.match).to.equal(0);
  });
});
