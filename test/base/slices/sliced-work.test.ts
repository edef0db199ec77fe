import { expect } from 'chai';
import fc from 'fast-check';
import { ENDLESS, SlicedWork, type Job } from '../../../src/base/slices/sliced-work.js';
import { jobUntil } from '../../support/jobs.js';
import { FakeEnv } from '../../watch/fakes.js';

/** Longest time of a turn, and the time of one of these steps. */
const TURN_MS = 2;
const STEP_MS = 0.1;

/** Pieces of work whose steps take STEP_MS; notes their ends. */
class Pieces {
  readonly env = new FakeEnv();
  readonly slices = new SlicedWork(this.env);
  readonly ended: string[] = [];
  private readonly startMs = this.env.nowMs;

  start(name: string, steps: number, job: Job = ENDLESS): void {
    let left = steps;
    const step = (): boolean => {
      this.env.nowMs += STEP_MS;
      left--;
      return left <= 0;
    };
    this.slices.run(job, step, () => this.ended.push(name));
  }

  get spentMs(): number {
    return this.env.nowMs - this.startMs;
  }

  /** Runs turns to the end; returns the longest. */
  settle(): number {
    let longestMs = 0;
    for (;;) {
      const startMs = this.env.nowMs;
      if (!this.env.turn()) return longestMs;
      longestMs = Math.max(longestMs, this.env.nowMs - startMs);
    }
  }
}

describe('sliced work', () => {
  it('that fits into the turn is done within the call', () => {
    const pieces = new Pieces();
    pieces.start('short', 5);
    expect(pieces.ended).deep.equal(['short']);
  });

  it('shares the time of a turn, however much there is and whenever it comes', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 100 }), { maxLength: 50 });
    fc.assert(
      fc.property(sizes, sizes, (early, late) => {
        const pieces = new Pieces();
        early.forEach((steps, i) => pieces.start(`early ${i}`, steps));
        expect(pieces.spentMs).lessThan(TURN_MS + 2 * STEP_MS);
        pieces.env.turn();
        const startMs = pieces.env.nowMs;
        late.forEach((steps, i) => pieces.start(`late ${i}`, steps));
        expect(pieces.env.nowMs - startMs).lessThan(TURN_MS + 2 * STEP_MS);
        expect(pieces.settle()).lessThan(TURN_MS + 2 * STEP_MS);
        expect(pieces.ended.length).equal(early.length + late.length);
        const total = [...early, ...late].reduce((sum, steps) => sum + steps, 0);
        expect(pieces.spentMs).closeTo(total * STEP_MS, 1e-6);
      }),
    );
  });

  it('that is short does not wait for the end of long work', () => {
    const pieces = new Pieces();
    pieces.start('long', 1000);
    pieces.start('short', 10);
    expect(pieces.ended).deep.equal([]);
    for (let i = 0; i < 3; i++) pieces.env.turn();
    expect(pieces.ended).deep.equal(['short']);
  });

  it('begun by other work goes on in its place, before work that has not begun', () => {
    const pieces = new Pieces();
    pieces.start('long', 1000);
    for (const name of ['a', 'b', 'c']) {
      const begin = (): void => pieces.start(`${name} sent`, 1);
      pieces.slices.run(
        ENDLESS,
        () => true,
        () => {
          pieces.ended.push(`${name} measured`);
          begin();
        },
      );
    }
    pieces.settle();
    const steps = ['a', 'b', 'c'].flatMap((name) => [`${name} measured`, `${name} sent`]);
    expect(pieces.ended).deep.equal([...steps, 'long']);
  });

  it('begun from within other work shares the turn like any other', () => {
    const pieces = new Pieces();
    pieces.slices.run(
      ENDLESS,
      () => true,
      () => pieces.start('inner', 50),
    );
    pieces.start('outer', 3);
    expect(pieces.settle()).lessThan(TURN_MS + 2 * STEP_MS);
    expect(pieces.ended).deep.equal(['outer', 'inner']);
  });

  it('ends without an answer when its job is over', () => {
    const pieces = new Pieces();
    let isOver = false;
    pieces.start(
      'left',
      100,
      jobUntil(
        () => isOver,
        () => pieces.ended.push('over'),
      ),
    );
    expect(pieces.ended).deep.equal([]);
    isOver = true;
    pieces.settle();
    expect(pieces.ended).deep.equal(['over']);
    expect(pieces.spentMs).lessThan(TURN_MS + 2 * STEP_MS);
  });

  it('that throws ends alone: the rest goes on', () => {
    const pieces = new Pieces();
    pieces.start('long', 100);
    pieces.slices.run(
      ENDLESS,
      () => {
        throw new Error('a damaged row');
      },
      () => pieces.ended.push('never'),
    );
    expect(() => pieces.settle()).to.throw('a damaged row');
    pieces.settle();
    expect(pieces.ended).deep.equal(['long']);
  });
});
