/**
 * Pods that wait for a node: those to be tried now, those that failed and wait until something
 * changes, and those that wait out their back-off (pkg/scheduler/backend/queue).
 */
import type { ClusterEnv, ClusterTimer } from '../env.js';
import type { PodInfo } from './pod-info.js';

const BACKOFF_MIN_MS = 1000;
const BACKOFF_MAX_MS = 10_000;
/** A pod that nothing moved is tried again after this time. */
const FLUSH_MS = 5 * 60_000;
const FLUSH_CHECK_MS = 30_000;

interface Entry {
  info: PodInfo;
  attempts: number;
  /** Monotonic milliseconds since it was first tried, or added: the order within one priority. */
  readonly sinceMs: number;
  readonly number: number;
  state: 'active' | 'waiting' | 'backoff' | 'taken';
  failedMs: number;
  /** Something changed while it was being tried. */
  movedMeanwhile: boolean;
  timer: ClusterTimer | undefined;
}

export class SchedulingQueue {
  private readonly env: ClusterEnv;
  private readonly entries = new Map<string, Entry>();
  private count = 0;
  private wake: () => void = () => {};
  private flushTimer: ClusterTimer | undefined;
  private isClosed = false;

  constructor(env: ClusterEnv) {
    this.env = env;
    this.scheduleFlush();
  }

  get size(): number {
    return this.entries.size;
  }

  /** A pod without a node appeared, or changed. */
  set(info: PodInfo): void {
    const entry = this.entries.get(info.uid);
    if (entry === undefined) {
      const sinceMs = this.env.monoMs();
      const fresh: Entry = {
        info,
        attempts: 0,
        sinceMs,
        number: this.count++,
        state: 'active',
        failedMs: 0,
        movedMeanwhile: false,
        timer: undefined,
      };
      this.entries.set(info.uid, fresh);
      this.wake();
      return;
    }
    const isOther = hasOtherSpec(entry.info, info);
    entry.info = info;
    if (isOther) this.move(entry);
  }

  has(uid: string): boolean {
    return this.entries.has(uid);
  }

  /** The pod has a node, or is gone. */
  delete(uid: string): void {
    this.entries.get(uid)?.timer?.cancel();
    this.entries.delete(uid);
  }

  /** The next pod to try: the highest priority, the oldest first. Undefined once closed. */
  async take(): Promise<PodInfo | undefined> {
    for (;;) {
      if (this.isClosed) return undefined;
      const next = this.first();
      if (next !== undefined) {
        next.state = 'taken';
        next.attempts++;
        next.movedMeanwhile = false;
        return next.info;
      }
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** The pod that was taken found no node, or could not be bound: it waits until something changes. */
  failed(uid: string): void {
    const entry = this.entries.get(uid);
    if (entry === undefined) return;
    entry.failedMs = this.env.monoMs();
    entry.state = 'waiting';
    if (entry.movedMeanwhile) this.move(entry);
  }

  /** As `failed`, for an error that time alone may mend. */
  retry(uid: string): void {
    const entry = this.entries.get(uid);
    if (entry === undefined) return;
    entry.failedMs = this.env.monoMs();
    entry.state = 'waiting';
    this.move(entry);
  }

  /** Something changed that may make room for pods for which `concerns` is true. */
  moveAll(concerns: (info: PodInfo) => boolean = () => true): void {
    for (const entry of this.entries.values()) if (concerns(entry.info)) this.move(entry);
  }

  close(): void {
    this.isClosed = true;
    this.flushTimer?.cancel();
    for (const entry of this.entries.values()) entry.timer?.cancel();
    this.wake();
  }

  private move(entry: Entry): void {
    if (entry.state === 'taken') entry.movedMeanwhile = true;
    if (entry.state !== 'waiting') return;
    const restMs = entry.failedMs + backoffMs(entry.attempts) - this.env.monoMs();
    if (restMs <= 0) {
      this.activate(entry);
      return;
    }
    entry.state = 'backoff';
    entry.timer = this.env.after(restMs, () => this.activate(entry));
  }

  private activate(entry: Entry): void {
    entry.timer = undefined;
    entry.state = 'active';
    this.wake();
  }

  private first(): Entry | undefined {
    let best: Entry | undefined;
    for (const entry of this.entries.values()) {
      if (entry.state === 'active' && (best === undefined || comesBefore(entry, best)))
        best = entry;
    }
    return best;
  }

  private scheduleFlush(): void {
    this.flushTimer = this.env.after(FLUSH_CHECK_MS, () => {
      this.scheduleFlush();
      const nowMs = this.env.monoMs();
      for (const entry of this.entries.values()) {
        if (entry.state === 'waiting' && nowMs - entry.failedMs > FLUSH_MS) this.activate(entry);
      }
    });
  }
}

function comesBefore(a: Entry, b: Entry): boolean {
  const byPriority = (b.info.pod.spec.priority ?? 0) - (a.info.pod.spec.priority ?? 0);
  if (byPriority !== 0) return byPriority < 0;
  return a.sinceMs === b.sinceMs ? a.number < b.number : a.sinceMs < b.sinceMs;
}

function backoffMs(attempts: number): number {
  return Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.max(0, attempts - 1));
}

/** A change of labels, gates, tolerations or resources may let a pod fit. */
function hasOtherSpec(a: PodInfo, b: PodInfo): boolean {
  const text = ({ pod }: PodInfo): string => JSON.stringify([pod.spec, pod.metadata.labels]);
  return text(a) !== text(b);
}
