/**
 * Metrics of the process and its runtime: names of client_golang's process collector where the number is the same
 * one, `nodejs_` for the rest.
 */
import type { HeapSpaceInfo } from 'node:v8';
import { labelText, type Family } from './exposition.js';
import type { ProcessSample } from './process-metrics.js';

type ProcessFamily = Family<{ readonly process: ProcessSample }>;

type Read = (sample: ProcessSample) => number;

function counter(name: string, help: string, read: Read): ProcessFamily {
  return {
    name,
    type: 'counter',
    help,
    write: (out, source) => out.sample('', read(source.process)),
  };
}

function gauge(name: string, help: string, read: Read): ProcessFamily {
  return { ...counter(name, help, read), type: 'gauge' };
}

function loopLag(part: keyof ProcessSample['loopDelay'], help: string): ProcessFamily {
  return gauge(`nodejs_eventloop_lag_${part}_seconds`, help, (s) => s.loopDelay[part]);
}

function quantileLag(part: 'p50' | 'p90' | 'p99', share: string): ProcessFamily {
  return loopLag(part, `${share} of the timers since the scrape before were delayed less.`);
}

function heapSpace(part: string, help: string, read: (space: HeapSpaceInfo) => number) {
  return {
    name: `nodejs_heap_space_${part}_bytes`,
    type: 'gauge',
    help,
    write: (out, source) => {
      for (const space of source.process.heapSpaces)
        out.sample(labelText({ space: space.space_name.replace(/_space$/, '') }), read(space));
    },
  } satisfies ProcessFamily;
}

const versionParts = process.versions.node.split('.');

const OPEN_FILES = 'Open file descriptors.';
const OPEN_FILES_LIMIT = 'Limit of open file descriptors.';
const IN_NAMESPACE = 'in the network namespace of the process.';

export const PROCESS_FAMILIES: readonly ProcessFamily[] = [
  counter('process_cpu_seconds_total', 'CPU time of the process.', (s) => {
    return s.cpuUserSeconds + s.cpuSystemSeconds;
  }),
  counter('process_cpu_user_seconds_total', 'CPU time spent in the process itself.', (s) => {
    return s.cpuUserSeconds;
  }),
  counter('process_cpu_system_seconds_total', 'CPU time the system spent for the process.', (s) => {
    return s.cpuSystemSeconds;
  }),
  gauge('process_start_time_seconds', 'Start of the process, as seconds since the epoch.', (s) => {
    return s.startTimeSeconds;
  }),
  gauge('process_resident_memory_bytes', 'Resident memory.', (s) => s.memory.rss),
  gauge('process_virtual_memory_bytes', 'Virtual memory.', (s) => s.virtualBytes),
  gauge('process_virtual_memory_max_bytes', 'Limit of virtual memory.', (s) => s.virtualBytesLimit),
  gauge('process_open_fds', OPEN_FILES, (s) => s.openFiles),
  gauge('process_max_fds', OPEN_FILES_LIMIT, (s) => s.openFilesLimit),
  gauge('os_fd_used', OPEN_FILES, (s) => s.openFiles),
  gauge('os_fd_limit', OPEN_FILES_LIMIT, (s) => s.openFilesLimit),
  counter('process_network_receive_bytes_total', `Bytes received ${IN_NAMESPACE}`, (s) => {
    return s.receivedBytes;
  }),
  counter('process_network_transmit_bytes_total', `Bytes sent ${IN_NAMESPACE}`, (s) => s.sentBytes),
  loopLag('mean', 'Mean delay of timers since the scrape before.'),
  loopLag('max', 'Longest delay of a timer since the scrape before.'),
  quantileLag('p50', 'Half'),
  quantileLag('p90', '90 %'),
  quantileLag('p99', '99 %'),
  {
    name: 'nodejs_gc_duration_seconds',
    type: 'histogram',
    help: 'Pauses for the collection of garbage since the first scrape.',
    write: (out, source) => {
      for (const [kind, histogram] of source.process.collections)
        out.histogram(labelText({ kind }), histogram);
    },
  },
  {
    name: 'nodejs_active_resources',
    type: 'gauge',
    help: 'Resources that keep the event loop alive.',
    write: (out, source) => {
      for (const [type, count] of source.process.resources) out.sample(labelText({ type }), count);
    },
  },
  gauge('nodejs_heap_size_total_bytes', 'Size of the heap.', (s) => s.memory.heapTotal),
  gauge('nodejs_heap_size_used_bytes', 'Heap in use.', (s) => s.memory.heapUsed),
  gauge(
    'nodejs_external_memory_bytes',
    'Memory outside the heap that objects of the heap hold.',
    (s) => {
      return s.memory.external;
    },
  ),
  heapSpace('size_total', 'Size of a space of the heap.', (space) => space.space_size),
  heapSpace('size_used', 'Use of a space of the heap.', (space) => space.space_used_size),
  heapSpace('size_available', 'Room left in a space of the heap.', (space) => {
    return space.space_available_size;
  }),
  {
    name: 'nodejs_version_info',
    type: 'gauge',
    help: 'The version of Node.js, as labels.',
    write: (out) => {
      const [major = '', minor = '', patch = ''] = versionParts;
      out.sample(labelText({ version: process.version, major, minor, patch }), 1);
    },
  },
];
