import { tmpdir } from 'node:os';
import { missingForEngine, probeFacilities } from '../../../src/cluster/runtime/facilities.js';

const facilities = await probeFacilities(tmpdir());
const missing = missingForEngine(facilities);
for (const name of ['socat', 'script', 'busybox'] as const) {
  if (facilities.programs[name] === undefined) missing.push(name);
}

/** A `describe` of tests with real containers. Without root or runc they are skipped, loudly; in CI they fail. */
export function whereEngineRuns(title: string, body: () => void): void {
  if (missing.length === 0) {
    describe(title, body);
    return;
  }
  const text = `${title}: this machine lacks ${missing.join(', ')}`;
  if (process.env['CI'] === 'true') {
    describe(title, () => {
      it('has what it needs', () => {
        throw new Error(text);
      });
    });
    return;
  }
  console.error(`WARNING: skipped: ${text}`);
  describe.skip(title, body);
}
