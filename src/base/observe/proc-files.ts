/**
 * Facts about this process from proc(5); empty texts and zeros where there is no such file system.
 */
import { readFile } from 'node:fs/promises';

/** The limit that means "none", as client_golang's process collector shows it. */
const UNLIMITED = 2 ** 64 - 1;

/** The content of a file below /proc/self. */
export function procFile(name: string): Promise<string> {
  return readFile(`/proc/self/${name}`, 'latin1').catch(() => '');
}

/** The soft limit `name` in the text of /proc/self/limits. */
export function limitOf(limits: string, name: string): number {
  const line = limits.split('\n').find((candidate) => candidate.startsWith(name)) ?? '';
  const soft = line.slice(name.length).trim().split(/\s+/)[0] ?? '';
  return soft === 'unlimited' ? UNLIMITED : Number(soft);
}

/** InOctets and OutOctets of /proc/self/net/netstat: all traffic of the network namespace this process runs in. */
export function networkBytes(netstat: string): {
  readonly received: number;
  readonly sent: number;
} {
  const [names, values] = netstat
    .split('\n')
    .filter((line) => line.startsWith('IpExt:'))
    .map((line) => line.split(' '));
  const value = (name: string): number => Number(values?.[names?.indexOf(name) ?? -1] ?? 0);
  return { received: value('InOctets'), sent: value('OutOctets') };
}
