/** Files of the node's side of a pod that each of its containers sees: resolv.conf, hostname, hosts. */
import { mkdir, writeFile } from 'node:fs/promises';
import { hostname as nodeHostname } from 'node:os';
import { join } from 'node:path';
import { readText } from '../state-files.js';
import type { PodSandboxConfig } from '../runtime.js';

/** Names of the files, and where containers see them. */
export const SANDBOX_FILES = {
  'resolv.conf': '/etc/resolv.conf',
  hostname: '/etc/hostname',
  hosts: '/etc/hosts',
} as const;

export function hostnameOf(config: PodSandboxConfig): string {
  return config.hostname === '' ? nodeHostname() : config.hostname;
}

/** `address` is empty for a pod without a network of its own. */
export async function writeSandboxFiles(
  dir: string,
  config: PodSandboxConfig,
  address: string,
): Promise<void> {
  await mkdir(dir, { recursive: true });
  const name = hostnameOf(config);
  const own = address === '' ? '' : `${address}\t${name}\n`;
  const hosts = `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n${own}`;
  await writeFile(join(dir, 'hosts'), hosts, { mode: 0o644 });
  await writeFile(join(dir, 'hostname'), `${name}\n`, { mode: 0o644 });
  await writeFile(join(dir, 'resolv.conf'), await resolvConf(config.dns), { mode: 0o644 });
}

async function resolvConf(dns: PodSandboxConfig['dns']): Promise<string> {
  const { servers, searches, options } = dns;
  if (servers.length + searches.length + options.length === 0) {
    return (await readText('/etc/resolv.conf')) ?? '';
  }
  const lines = servers.map((server) => `nameserver ${server}`);
  if (searches.length > 0) lines.push(`search ${searches.join(' ')}`);
  if (options.length > 0) lines.push(`options ${options.join(' ')}`);
  return `${lines.join('\n')}\n`;
}
