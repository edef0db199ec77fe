/** Named network namespaces, as iproute2 keeps them. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { mustRun, run } from '../runtime/command.js';

const FOLDER = '/run/netns';
const NSFS_MAGIC = 0x6e736673;

/** The file that stands for the namespace `name`. */
function namespaceFile(name: string): string {
  return join(FOLDER, name);
}

/** Names that begin with `prefix`, of namespaces and of files that a restart of the machine left of them. */
export function namespacesWith(prefix: string): string[] {
  if (!existsSync(FOLDER)) return [];
  return readdirSync(FOLDER).filter((name) => name.startsWith(prefix));
}

export function isNamespace(name: string): boolean {
  const file = namespaceFile(name);
  return existsSync(file) && statfsSync(file).type === NSFS_MAGIC;
}

/** Makes the namespace unless it is there. Rejects with RuntimeError. */
export async function ensureNamespace(name: string): Promise<void> {
  if (isNamespace(name)) return;
  rmSync(namespaceFile(name), { force: true });
  await mustRun('ip', ['netns', 'add', name]);
}

/** Kills what runs in the namespace and removes it; its links go with it. Harmless when it is not there. */
export async function removeNamespace(name: string): Promise<void> {
  if (isNamespace(name)) {
    killProcessesIn(name);
    await mustRun('ip', ['netns', 'delete', name]);
  }
  rmSync(namespaceFile(name), { force: true });
}

/** Command that runs what follows it in the namespace, and shares everything else with the caller. */
export function enterCommand(name: string): string[] {
  return ['nsenter', `--net=${namespaceFile(name)}`];
}

/** Lets the namespace forward packets between its links. Rejects with RuntimeError. */
export async function enableForwarding(name: string): Promise<void> {
  const [program = '', ...args] = enterCommand(name);
  const script = 'echo 1 > /proc/sys/net/ipv4/ip_forward';
  await mustRun(program, [...args, 'sh', '-c', script]);
}

export async function hasLink(namespace: string, link: string): Promise<boolean> {
  return (await run('ip', ['-n', namespace, 'link', 'show', link])).exitCode === 0;
}

/** Commands of `ip -batch`, in the namespace. Rejects with RuntimeError at the first that fails. */
export async function configure(namespace: string, commands: readonly string[]): Promise<void> {
  await mustRun('ip', ['-n', namespace, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

function killProcessesIn(name: string): void {
  const { ino } = statSync(namespaceFile(name));
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) !== `net:[${ino}]`) continue;
      if (isKernelThread(pid)) continue;
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

function isKernelThread(pid: string): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === '';
}
