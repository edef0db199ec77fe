import type { StoredObject } from '../storage/stored-object.js';

/** Event that one watcher is shown. */
export type WatchItem =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly stored: StoredObject }
  /** `isInitialEnd`: all objects that were there at the beginning have been shown. */
  | { readonly type: 'BOOKMARK'; readonly revision: number; readonly isInitialEnd: boolean }
  /** The watch ends: the revision it needs is no longer held. */
  | { readonly type: 'EXPIRED'; readonly message: string };

/** A watch that was accepted. Items come in batches, each batch one turn. */
export interface Subscription {
  /** Called once. `onEnd` follows the last batch: time is over, or the server stops. */
  start(onItems: (items: readonly WatchItem[]) => void, onEnd: () => void): void;
  /** The receiver is full: nothing is handed over until `resume`. A watcher that stays full for too long is ended. */
  pause(): void;
  resume(): void;
  /** Nothing is handed over from now on. */
  close(): void;
}
