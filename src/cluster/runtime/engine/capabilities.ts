/** Capabilities of containers by name (capabilities(7)). */
import { RuntimeError, type ContainerSecurity } from '../runtime.js';

/** By number. */
const NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
];

/** Given to every container that asks for nothing else. */
const DEFAULTS = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'MKNOD',
  'NET_RAW',
  'SETGID',
  'SETUID',
  'SETFCAP',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'KILL',
  'AUDIT_WRITE',
];

/**
 * Names (`CAP_KILL`) a container has. `own` is the node's own set, bit n for capability n: nobody
 * can give more. Throws: RuntimeError InvalidArgument for an unknown name, or one the node lacks.
 */
export function capabilitiesOf(security: ContainerSecurity, own: bigint): string[] {
  const available = new Set(NAMES.filter((_, number) => ((own >> BigInt(number)) & 1n) === 1n));
  const add = security.addCapabilities.map(plainName);
  const drop = security.dropCapabilities.map(plainName);
  const isFull = security.isPrivileged || add.includes('ALL');
  const chosen = new Set(isFull ? available : drop.includes('ALL') ? [] : DEFAULTS);
  for (const name of add) if (name !== 'ALL') chosen.add(known(name));
  if (!security.isPrivileged) {
    for (const name of drop) if (name !== 'ALL' && !add.includes(name)) chosen.delete(known(name));
  }
  for (const name of chosen) {
    if (available.has(name)) continue;
    if (add.includes(name)) {
      throw new RuntimeError('InvalidArgument', `this node does not have capability CAP_${name}`);
    }
    chosen.delete(name);
  }
  return [...chosen].map((name) => `CAP_${name}`).sort();
}

function plainName(name: string): string {
  return name.toUpperCase().replace(/^CAP_/, '');
}

function known(name: string): string {
  if (NAMES.includes(name)) return name;
  throw new RuntimeError('InvalidArgument', `unknown capability "${name}"`);
}
