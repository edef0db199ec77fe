import type { StreamCall } from '../../rpc/service.js';

/** Stops reading a stream's requests while its client does not read the answers, or while too many wait. */
export class RequestFlow {
  private readonly call: Pick<StreamCall, 'pause' | 'resume'>;
  private readonly maxWaiting: number;
  private isPaused = false;

  constructor(call: Pick<StreamCall, 'pause' | 'resume'>, maxWaiting: number) {
    this.call = call;
    this.maxWaiting = maxWaiting;
  }

  /** To be called when either changed, and not after the call has ended. */
  update(isFull: boolean, waiting: number): void {
    const shouldPause = isFull || waiting >= this.maxWaiting;
    if (shouldPause === this.isPaused) return;
    this.isPaused = shouldPause;
    if (shouldPause) this.call.pause();
    else this.call.resume();
  }
}
