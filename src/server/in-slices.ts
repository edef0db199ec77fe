import type { Env } from '../env/env.js';

/**
 * Does long work a step at a time, for about `sliceMs` a turn: what fits into one slice is done within the call.
 *
 * `step` does a small part, well below a millisecond, and returns true when nothing is left; then `done` runs, in a turn of
 * its own if the work was spread over turns, so that what follows has a whole slice to itself. Work that `isOver` ends
 * without `done`.
 */
export function inSlices(
  env: Env,
  sliceMs: number,
  isOver: () => boolean,
  step: () => boolean,
  done: () => void,
): void {
  const slice = (isFirst: boolean): void => {
    if (isOver()) return;
    const startMs = env.clock.monoMs();
    while (!step()) {
      if (env.clock.monoMs() - startMs > sliceMs) {
        env.defer(() => slice(false));
        return;
      }
    }
    if (isFirst) done();
    else env.defer(finish);
  };
  const finish = (): void => {
    if (!isOver()) done();
  };
  slice(true);
}
