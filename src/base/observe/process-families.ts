/**
 * Metrics of the process and its runtime: names of client_golang's process collector where the number is the same
 * one, `nodejs_` for the rest.
 */
import type { HeapSpaceInfo } from 'node:v8';
import { labelText, type Family } from './exposition.js';
import type { ProcessSample } from './process-metrics.js';

type ProcessFamily = Family<{ readonly process: ProcessSample }>;

function scalar(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  read: (sample: ProcessSample) => number,
): ProcessFamily {
  return { name, type, help, write: (out, source) => out.sample('', read(source.process)) };
}

function heapSpace(name: string, help: string, read: (space: HeapSpaceInfo) => number) {
  return {
    name,
    type: 'gauge',
    help,
    write: (out, source) => {
      for (const space of source.process.heapSpaces)
        out.sample(labelText({ space: space.space_name.replace(/_space$/, '') }), read(space));
    },
  } satisfies ProcessFamily;
}

const versionParts = process.versions.node.split('.');

export const PROCESS_FAMILIES: readonly ProcessFamily[] = [
  scalar(
    'process_cpu_seconds_total',
    'counter',
    'CPU time of the process.',
    (s) => s.cpuUserSeconds + s.cpuSystemSeconds,
  ),
  scalar(
    'process_cpu_user_seconds_total',
    'counter',
    'CPU time spent in the process itself.',
    (s) => s.cpuUserSeconds,
  ),
  scalar(
    'process_cpu_system_seconds_total',
    'counter',
    'CPU time the system spent for the process.',
    (s) => s.cpuSystemSeconds,
  ),
  scalar(
    'process_start_time_seconds',
    'gauge',
    'Start of the process, as seconds since the epoch.',
    (s) => s.startTimeSeconds,
  ),
  scalar('process_resident_memory_bytes', 'gauge', 'Resident memory.', (s) => s.memory.rss),
  scalar('process_virtual_memory_bytes', 'gauge', 'Virtual memory.', (s) => s.virtualBytes),
  scalar(
    'process_virtual_memory_max_bytes',
    'gauge',
    'Limit of virtual memory.',
    (s) => s.virtualBytesLimit,
  ),
  scalar('process_open_fds', 'gauge', 'Open file descriptors.', (s) => s.openFiles),
  scalar('process_max_fds', 'gauge', 'Limit of open file descriptors.', (s) => s.openFilesLimit),
  scalar('os_fd_used', 'gauge', 'Open file descriptors.', (s) => s.openFiles),
  scalar('os_fd_limit', 'gauge', 'Limit of open file descriptors.', (s) => s.openFilesLimit),
  scalar(
    'process_network_receive_bytes_total',
    'counter',
    'Bytes received in the network namespace of the process.',
    (s) => s.receivedBytes,
  ),
  scalar(
    'process_network_transmit_bytes_total',
    'counter',
    'Bytes sent in the network namespace of the process.',
    (s) => s.sentBytes,
  ),
  scalar(
    'nodejs_eventloop_lag_mean_seconds',
    'gauge',
    'Mean delay of timers since the scrape before.',
    (s) => s.loopDelay.mean,
  ),
  scalar(
    'nodejs_eventloop_lag_max_seconds',
    'gauge',
    'Longest delay of a timer since the scrape before.',
    (s) => s.loopDelay.max,
  ),
  scalar(
    'nodejs_eventloop_lag_p50_seconds',
    'gauge',
    'Half of the timers since the scrape before were delayed less.',
    (s) => s.loopDelay.p50,
  ),
  scalar(
    'nodejs_eventloop_lag_p90_seconds',
    'gauge',
    '90 % of the timers since the scrape before were delayed less.',
    (s) => s.loopDelay.p90,
  ),
  scalar(
    'nodejs_eventloop_lag_p99_seconds',
    'gauge',
    '99 % of the timers since the scrape before were delayed less.',
    (s) => s.loopDelay.p99,
  ),
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
  scalar('nodejs_heap_size_total_bytes', 'gauge', 'Size of the heap.', (s) => s.memory.heapTotal),
  scalar('nodejs_heap_size_used_bytes', 'gauge', 'Heap in use.', (s) => s.memory.heapUsed),
  scalar(
    'nodejs_external_memory_bytes',
    'gauge',
    'Memory outside the heap that objects of the heap hold.',
    (s) => s.memory.external,
  ),
  heapSpace('nodejs_heap_space_size_total_bytes', 'Size of a space of the heap.', (space) => {
    return space.space_size;
  }),
  heapSpace('nodejs_heap_space_size_used_bytes', 'Use of a space of the heap.', (space) => {
    return space.space_used_size;
  }),
  heapSpace(
    'nodejs_heap_space_size_available_bytes',
    'Room left in a space of the heap.',
    (space) => space.space_available_size,
  ),
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
