import { describeSlowness, slowness } from '../../scripts/machine.js';

const POLL_MS = 10;
/** On a quiet machine; a slow or busy one gets several times as much. */
const DEADLINE_MS = 20_000;

/** Waits until `condition` holds, for tests of real processes. Throws after a deadline. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const beganMs = performance.now();
  while (!(await condition())) {
    const tookMs = performance.now() - beganMs;
    if (tookMs > DEADLINE_MS && tookMs > DEADLINE_MS * slowness()) {
      const seconds = (tookMs / 1000).toFixed(0);
      throw new Error(`not within ${seconds} s (${describeSlowness()}): ${condition.toString()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
