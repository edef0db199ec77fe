import { tmpdir } from 'node:os';
import { skipWithout } from '../../support/servers.js';
import { missingForEngine, probeFacilities } from '../../../src/cluster/runtime/facilities.js';

const facilities = await probeFacilities(tmpdir());
const missing = missingForEngine(facilities);
for (const name of ['socat', 'script', 'busybox'] as const) {
  if (facilities.programs[name] === undefined) missing.push(name);
}

/**
 * A `describe` of tests with real containers. On a machine that lacks something for them they are
 * skipped by the rule of `skipWithout`: with a loud line, and as a failure where CI=true.
 */
export function whereEngineRuns(title: string, body: () => void): void {
  describe(title, () => {
    if (missing.length === 0) {
      body();
      return;
    }
    before(function () {
      skipWithout(this, missing.join(', '));
    });
    // One level further down: hooks beside the one that skips would run, and they need the engine.
    describe('with containers', body);
  });
}
