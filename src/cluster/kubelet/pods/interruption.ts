/** The work was left because its pod is to end; it is not an error. */
export class Interrupted extends Error {
  override name = 'Interrupted';
}

/** The outcome of `work`, or Interrupted when `signal` aborts first. The work goes on all the same. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new Interrupted());
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
