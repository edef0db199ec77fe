import { randomFraction, type ClusterEnv, type ClusterTimer } from '../../env.js';
import type { Watcher } from '../cache/watcher.js';
import type { Subscription, WatchItem } from '../cache/subscription.js';

/** Without a time of the client's own: 30 to 60 minutes, so that not all end at once. */
const DEFAULT_SECONDS = 1800;
/** A watch of known length shows how far it has come shortly before it ends. */
const BOOKMARK_BEFORE_END_MS = 2000;
/** Longest watch: the longest time that a timer can wait (2^31 - 1 ms, 24 days). */
const LENGTH_MAX_MS = 2 ** 31 - 1;

/** A watch that ends by itself, with a bookmark before its end. */
export class TimedSubscription implements Subscription {
  private readonly watcher: Watcher;
  private readonly env: ClusterEnv;
  private readonly timers: ClusterTimer[] = [];
  private readonly lengthMs: number;

  /** `seconds` 0 means the default length. */
  constructor(watcher: Watcher, env: ClusterEnv, seconds: number) {
    this.watcher = watcher;
    this.env = env;
    this.lengthMs =
      seconds > 0
        ? Math.min(seconds * 1000, LENGTH_MAX_MS)
        : DEFAULT_SECONDS * 1000 * (1 + randomFraction(env));
  }

  start(onItems: (items: readonly WatchItem[]) => void, onEnd: () => void): void {
    const { env, watcher, lengthMs, timers } = this;
    timers.push(env.after(lengthMs, () => watcher.end()));
    if (watcher.wantsBookmarks && lengthMs > BOOKMARK_BEFORE_END_MS) {
      timers.push(env.after(lengthMs - BOOKMARK_BEFORE_END_MS, () => watcher.bookmark()));
    }
    watcher.start(onItems, () => {
      this.cancelTimers();
      onEnd();
    });
  }

  pause(): void {
    this.watcher.pause();
  }

  resume(): void {
    this.watcher.resume();
  }

  close(): void {
    this.cancelTimers();
    this.watcher.close();
  }

  private cancelTimers(): void {
    for (const timer of this.timers) timer.cancel();
  }
}
