import { expect } from 'chai';
import { describe as describeTotals, replayCommand, runParallel } from './run.js';
import { simulate } from './simulation.js';

/**
 * The simulator on the product's own code: fixed seeds, which once were interesting or simply always run, and fresh ones,
 * whose first is printed. SEED and RUNS choose others.
 */
const SIMULATED_MS = 60_000;
const FIXED = Array.from({ length: 150 }, (_, i) => i + 1);
const FRESH = Number(process.env['RUNS'] ?? 170);
const WORKERS = 2;

describe('simulated clusters', function () {
  this.timeout(20 * 60_000);

  async function expectClean(seeds: readonly number[]): Promise<void> {
    const started = performance.now();
    const totals = await runParallel({ seeds, simulatedMs: SIMULATED_MS }, WORKERS);
    console.log(`      ${describeTotals(totals, performance.now() - started, SIMULATED_MS)}`);
    const report = totals.violations
      .map((v) => `seed ${v.seed}: ${v.text}\n  replay: ${replayCommand(v.seed, SIMULATED_MS)}`)
      .join('\n');
    expect(report).to.equal('');
    expect(totals.runs).to.equal(seeds.length);
    expect(totals.acknowledged).to.be.greaterThan(100 * seeds.length);
    expect(totals.watchEvents).to.be.greaterThan(0);
  }

  it('keep every invariant for the fixed seeds', () => expectClean(FIXED));

  it('keep every invariant for fresh seeds', async () => {
    const first = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
    console.log(`      fresh seeds from SEED=${first}`);
    await expectClean(Array.from({ length: FRESH }, (_, i) => first + i));
  });

  it('are determined by their seed', () => {
    const a = simulate({ seed: 77, simulatedMs: SIMULATED_MS });
    const b = simulate({ seed: 77, simulatedMs: SIMULATED_MS });
    const other = simulate({ seed: 78, simulatedMs: SIMULATED_MS });
    expect([a.trace, a.events]).to.deep.equal([b.trace, b.events]);
    expect(a.trace).to.not.equal(other.trace);
  });
});
