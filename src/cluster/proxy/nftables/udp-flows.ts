/**
 * UDP has no end of a connection: the kernel remembers where the packets of a client go for as long
 * as they come. Its memory of endpoints that are gone is deleted here, and of addresses that led
 * nowhere before their service was there.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { PortChange } from '../rule-sink.js';
import type { PortEntry, Target } from '../service-table.js';

const execute = promisify(execFile);
const MAX_OUTPUT = 64 << 20;
/** The way there, and where answers come from. */
const FLOW = /src=\S+ dst=(\S+) sport=\d+ dport=(\d+).* src=(\S+) dst=\S+ sport=(\d+) dport=\d+/;

export interface UdpFlow {
  readonly destination: Target;
  readonly answeredBy: Target;
}

/** Deletes what leads to none of the present endpoints. Rejects when conntrack cannot be run. */
export async function forgetUdpFlows(
  changes: Iterable<PortChange>,
  program = 'conntrack',
): Promise<void> {
  const entries = [...changes].flatMap(({ before, now }) => [
    ...before.filter(({ id }) => !now.some((entry) => entry.id === id)).map(withoutTargets),
    ...now,
  ]);
  const udp = entries.filter(({ protocol }) => protocol === 'udp');
  if (udp.length === 0) return;
  const args = ['-L', '-p', 'udp'];
  const { stdout } = await execute(program, args, { maxBuffer: MAX_OUTPUT });
  for (const { destination, answeredBy } of staleFlows(parseFlows(stdout), udp)) {
    const there = ['--orig-dst', destination.ip, '--orig-port-dst', String(destination.port)];
    const back = ['--reply-src', answeredBy.ip, '--reply-port-src', String(answeredBy.port)];
    // Fails when the flow ended by itself in between.
    await execute(program, ['-D', '-p', 'udp', ...there, ...back]).catch(() => undefined);
  }
}

/** Of the output of `conntrack -L`: one of each kind. */
export function parseFlows(output: string): UdpFlow[] {
  const flows = new Map<string, UdpFlow>();
  for (const line of output.split('\n')) {
    const match = FLOW.exec(line);
    if (match === null) continue;
    const [, dst = '', dport = '', src = '', sport = ''] = match;
    flows.set([dst, dport, src, sport].join(' '), {
      destination: { ip: dst, port: Number(dport) },
      answeredBy: { ip: src, port: Number(sport) },
    });
  }
  return [...flows.values()];
}

export function staleFlows(flows: readonly UdpFlow[], entries: readonly PortEntry[]): UdpFlow[] {
  return flows.filter(({ destination, answeredBy }) => {
    const isLed = !isSame(destination, answeredBy);
    return entries.some((entry) => {
      const { clusterIp, externalIps, port, nodePort, all, local } = entry;
      const isAddress =
        destination.port === port && [clusterIp, ...externalIps].includes(destination.ip);
      // The node's own addresses are not known here; a packet that was led somewhere was for one.
      const isNodePort = destination.port === nodePort && isLed;
      if (!isAddress && !isNodePort) return false;
      return ![...all, ...local].some((target) => isSame(target, answeredBy));
    });
  });
}

function isSame(a: Target, b: Target): boolean {
  return a.ip === b.ip && a.port === b.port;
}

function withoutTargets(entry: PortEntry): PortEntry {
  return { ...entry, all: [], local: [] };
}
