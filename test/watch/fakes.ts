import type { Disk, Env, Timer } from '../../src/base/env/env.js';
import { encodeKeyValue } from '../../src/gen/kv.js';
import type { StoreEvent } from '../../src/mvcc/types.js';
import type { WatchHistory, WatchSource } from '../../src/watch/event.js';

/** Small deterministic generator (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** The seed of this run: SEED from the environment, or a new one. */
export function seedOfRun(): number {
  const given = process.env['SEED'];
  return given === undefined ? Math.floor(Math.random() * 0x7fff_ffff) : Number(given);
}

interface FakeTimer {
  readonly atMs: number;
  readonly callback: () => void;
  cancelled: boolean;
}

/** An environment whose time and turns move only at a test's call. */
export class FakeEnv implements Env {
  nowMs = 1000;
  /** Added at each look at the clock: makes work run out of its time slice. */
  msPerLook = 0;
  random: () => number = randomOf(1);
  private deferred: (() => void)[] = [];
  private timers: FakeTimer[] = [];

  readonly clock = {
    monoMs: (): number => (this.nowMs += this.msPerLook),
    wallMs: (): number => 0,
  };

  get disk(): Disk {
    throw new Error('no disk here');
  }

  after(delayMs: number, callback: () => void): Timer {
    const timer: FakeTimer = { atMs: this.nowMs + delayMs, callback, cancelled: false };
    this.timers.push(timer);
    return { cancel: () => (timer.cancelled = true) };
  }

  defer(callback: () => void): void {
    this.deferred.push(callback);
  }

  randomU32(): number {
    return Math.floor(this.random() * 0x1_0000_0000);
  }

  fatal(what: string, next: string, cause?: unknown): never {
    throw new Error(`fatal: ${what}; ${next}`, { cause });
  }

  get deferredCount(): number {
    return this.deferred.length;
  }

  get timerCount(): number {
    return this.timers.filter((timer) => !timer.cancelled).length;
  }

  /** One turn: what was deferred before it. False when that was nothing. */
  turn(): boolean {
    const callbacks = this.deferred;
    this.deferred = [];
    for (const callback of callbacks) callback();
    return callbacks.length > 0;
  }

  /** Turns until nothing is deferred. */
  settle(): void {
    for (let turns = 0; this.turn(); turns++) {
      if (turns > 100_000) throw new Error('does not come to rest');
    }
  }

  /** Lets time pass, running timers at their time and what they defer. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      this.settle();
      let first: FakeTimer | undefined;
      for (const timer of this.timers) {
        if (!timer.cancelled && (first === undefined || timer.atMs < first.atMs)) first = timer;
      }
      if (first === undefined || first.atMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, first.atMs);
      first.cancelled = true;
      this.timers = this.timers.filter((timer) => !timer.cancelled);
      first.callback();
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }
}

export interface FakeChange {
  readonly type: 'put' | 'delete';
  readonly key: string;
  readonly value?: string;
}

const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** A store's history in memory: revision r is `revisions[r]`. */
export class FakeSource implements WatchSource {
  readonly revisions: StoreEvent[][] = [[], []];
  compactRevision = 0;
  currentRevision = 1;
  reads = 0;
  rowReads = 0;
  /** Runs the answer of a read; by default at once. */
  answer: (run: () => void) => void = (run) => {
    run();
  };
  private readonly live = new Map<
    string,
    { created: number; version: number; mod: number; sub: number }
  >();
  private readonly rows = new Map<string, Uint8Array>();

  /** Commits one revision and returns its events. */
  commit(changes: readonly FakeChange[]): StoreEvent[] {
    const main = ++this.currentRevision;
    const events = changes.map((change, sub): StoreEvent => {
      const before = this.live.get(change.key);
      const prev = before === undefined ? null : { main: before.mod, sub: before.sub };
      const base = { key: change.key, modRevision: main, sub, prev };
      if (change.type === 'delete') {
        this.live.delete(change.key);
        const kv = encodeKeyValue({ key: latin1(change.key), modRevision: main });
        return { ...base, type: 'delete', kv, isCreate: false };
      }
      const created = before?.created ?? main;
      const version = (before?.version ?? 0) + 1;
      const kv = encodeKeyValue({
        key: latin1(change.key),
        createRevision: created,
        modRevision: main,
        version,
        value: latin1(change.value ?? `v${main}.${sub}`),
      });
      this.live.set(change.key, { created, version, mod: main, sub });
      this.rows.set(`${main}/${sub}`, kv);
      return { ...base, type: 'put', kv, isCreate: created === main };
    });
    this.revisions.push(events);
    return events;
  }

  /** True if the key has a value. */
  has(key: string): boolean {
    return this.live.has(key);
  }

  history(
    fromMain: number,
    toMain: number,
    maxBytes: number,
    done: (error: Error | null, result: WatchHistory | 'compacted' | null) => void,
  ): void {
    this.reads++;
    this.answer(() => {
      if (fromMain < this.compactRevision) {
        done(null, 'compacted');
        return;
      }
      const events: StoreEvent[] = [];
      let bytes = 0;
      let main = fromMain;
      for (; main <= toMain && (main === fromMain || bytes < maxBytes); main++) {
        for (const event of this.revisions[main] ?? []) {
          events.push(event);
          bytes += event.kv.length;
        }
      }
      done(null, { events, nextMain: main });
    });
  }

  row(main: number, sub: number): Uint8Array {
    this.rowReads++;
    const row = this.rows.get(`${main}/${sub}`);
    if (row === undefined) throw new Error(`no row ${main}/${sub}`);
    return row;
  }
}
