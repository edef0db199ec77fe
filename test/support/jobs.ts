import type { Job } from '../../src/base/slices/sliced-work.js';

/** A job that is over as soon as `isOver` returns true. */
export function jobUntil(isOver: () => boolean, onOver: () => void = () => undefined): Job {
  return {
    get isOver() {
      return isOver();
    },
    onOver,
  };
}
