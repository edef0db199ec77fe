import type { SlicedWork } from '../../base/slices/sliced-work.js';
import type { Store } from '../../mvcc/store.js';
import type { RpcError } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';
import type { Reads } from '../contract/roles.js';

/** Lets reads at the state: linearizable ones after a read-index round, all of them only while the state is whole. */
export class ReadGate implements Reads {
  readonly store: Store;
  readonly slices: SlicedWork;
  private readonly confirm: (done: (error: RpcError | null) => void) => void;
  private isStopped = false;
  /** They wait while a received image replaces the state; undefined at other times. */
  private waiting: (() => void)[] | undefined = undefined;

  /** `confirm` runs a read-index round and waits until its index is applied. */
  constructor(
    store: Store,
    slices: SlicedWork,
    confirm: (done: (error: RpcError | null) => void) => void,
  ) {
    this.store = store;
    this.slices = slices;
    this.confirm = confirm;
  }

  stop(): void {
    this.isStopped = true;
  }

  linearizable(done: (error: RpcError | null) => void): void {
    if (this.isStopped) return done(errors.stopped);
    this.confirm((error) => {
      if (error === null) this.whenReadable(() => done(null));
      else done(error);
    });
  }

  whenReadable(done: () => void): void {
    if (this.waiting === undefined) done();
    else this.waiting.push(done);
  }

  get isClosed(): boolean {
    return this.waiting !== undefined;
  }

  /** Nothing may be read until `open`. */
  close(): void {
    this.waiting ??= [];
  }

  open(): void {
    const waiting = this.waiting ?? [];
    this.waiting = undefined;
    for (const callback of waiting) callback();
  }
}
