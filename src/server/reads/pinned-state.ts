import type { Backend } from '../../storage/backend.js';
import type { Store } from '../../mvcc/store.js';
import { ALL_SUBS, type ReadPoint } from '../../mvcc/types.js';
import type { Job } from '../../base/slices/sliced-work.js';
import type { StreamCall, UnaryCall } from '../../rpc/service.js';
import { errors } from '../contract/errors.js';

/** State that stays readable from `oldest` on until it is released, or until a received image takes its place. */
export class PinnedState {
  readonly release: () => void;
  private readonly store: Store;
  private readonly backend: Backend;

  constructor(store: Store, oldest: ReadPoint) {
    this.store = store;
    this.backend = store.backend;
    // Compaction at a revision leaves nothing of the state between the revision's own changes.
    this.release = store.pin(oldest.subs === ALL_SUBS ? oldest.revision : oldest.revision - 1);
  }

  /** A received image took the place of the state. */
  get isGone(): boolean {
    return this.store.backend !== this.backend;
  }
}

/** A call that is answered from a pinned state: over when its client is gone, or the state. */
export class ReadCall implements Job {
  private readonly call: UnaryCall | StreamCall;
  private readonly state: PinnedState;

  constructor(call: UnaryCall | StreamCall, state: PinnedState) {
    this.call = call;
    this.state = state;
  }

  get isOver(): boolean {
    return this.call.cancelled || this.state.isGone;
  }

  onOver(): void {
    this.state.release();
    if (!this.call.cancelled) this.call.fail(errors.leaderChanged);
  }
}
