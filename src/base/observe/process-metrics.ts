/**
 * The numbers behind the metrics of the process and its runtime. Made at the first scrape: the
 * observers below cost something, and a member that is never scraped should not pay for them.
 */
import { readdir } from 'node:fs/promises';
import {
  constants,
  monitorEventLoopDelay,
  PerformanceObserver,
  type IntervalHistogram,
  type PerformanceEntry,
} from 'node:perf_hooks';
import { getHeapSpaceStatistics, type HeapSpaceInfo } from 'node:v8';
import { Histogram } from './histogram.js';
import { limitOf, networkBytes, procFile } from './proc-files.js';

/** Figures of the system about this process; 0 where it has none (only Linux has /proc). */
interface SystemSample {
  readonly openFiles: number;
  readonly openFilesLimit: number;
  readonly virtualBytes: number;
  readonly virtualBytesLimit: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** State of the process at the moment of a scrape. Bytes, seconds, counts. */
export interface ProcessSample extends SystemSample {
  readonly cpuUserSeconds: number;
  readonly cpuSystemSeconds: number;
  readonly startTimeSeconds: number;
  readonly memory: NodeJS.MemoryUsage;
  readonly heapSpaces: readonly HeapSpaceInfo[];
  readonly loopDelay: LoopDelay;
  /** Kind of pause to its durations. */
  readonly collections: ReadonlyMap<string, Histogram>;
  /** Name of a kind of resource to how many keep the event loop alive. */
  readonly resources: ReadonlyMap<string, number>;
}

/** Delay of timers since the scrape before, in seconds; NaN when none ran. */
interface LoopDelay {
  readonly mean: number;
  readonly max: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

/** A pause as Node.js reports it; durations are milliseconds. */
interface CollectionEntry extends PerformanceEntry {
  readonly detail?: { readonly kind?: number };
}

/** Between two looks at the event loop. At 10 ms the looking alone takes 0.5 % of a core, at 50 ms 0.15 %. */
const LOOP_RESOLUTION_MS = 50;
const COLLECTION_BOUNDS_SECONDS = [0.001, 0.01, 0.1, 1, 2, 5];
const COLLECTION_KINDS: readonly (readonly [number, string])[] = [
  [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'],
  [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
];
/** Observes the process from its creation until `close`. */
export class ProcessMetrics {
  private readonly loop: IntervalHistogram;
  private readonly observer: PerformanceObserver;
  private readonly collections = new Map<string, Histogram>();

  constructor() {
    this.loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
    this.loop.enable();
    for (const [, name] of COLLECTION_KINDS)
      this.collections.set(name, new Histogram(COLLECTION_BOUNDS_SECONDS));
    const byKind = new Map(
      COLLECTION_KINDS.map(([kind, name]) => [kind, this.collections.get(name)]),
    );
    this.observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const { detail, duration } = entry as CollectionEntry;
        byKind.get(detail?.kind ?? -1)?.observe(duration / 1000);
      }
    });
    this.observer.observe({ entryTypes: ['gc'] });
  }

  close(): void {
    this.loop.disable();
    this.observer.disconnect();
  }

  /** Reads everything once, and begins the next period of `loopDelay`. */
  async sample(): Promise<ProcessSample> {
    const system = await systemSample();
    const cpu = process.cpuUsage();
    return {
      ...system,
      cpuUserSeconds: cpu.user / 1e6,
      cpuSystemSeconds: cpu.system / 1e6,
      startTimeSeconds: Date.now() / 1000 - process.uptime(),
      memory: process.memoryUsage(),
      heapSpaces: getHeapSpaceStatistics(),
      loopDelay: this.loopDelay(),
      collections: this.collections,
      resources: activeResources(),
    };
  }

  private loopDelay(): LoopDelay {
    const { loop } = this;
    // The histogram holds the time between two looks; the delay is what exceeds the resolution.
    const delay = (nanoseconds: number): number =>
      loop.count === 0 ? NaN : Math.max(0, nanoseconds / 1e9 - LOOP_RESOLUTION_MS / 1000);
    const result = {
      mean: delay(loop.mean),
      max: delay(loop.max),
      p50: delay(loop.percentile(50)),
      p90: delay(loop.percentile(90)),
      p99: delay(loop.percentile(99)),
    };
    loop.reset();
    return result;
  }
}

function activeResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo())
    counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

async function systemSample(): Promise<SystemSample> {
  const [limits, status, netstat, openFiles] = await Promise.all([
    procFile('limits'),
    procFile('status'),
    procFile('net/netstat'),
    readdir('/proc/self/fd').then(
      (names) => names.length,
      () => 0,
    ),
  ]);
  const network = networkBytes(netstat);
  return {
    openFiles,
    openFilesLimit: limitOf(limits, 'Max open files'),
    virtualBytes: 1024 * Number(/^VmSize:\s+(\d+) kB/m.exec(status)?.[1] ?? 0),
    virtualBytesLimit: limitOf(limits, 'Max address space'),
    receivedBytes: network.received,
    sentBytes: network.sent,
  };
}
