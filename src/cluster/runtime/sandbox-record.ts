import type { PodSandboxConfig, PodSandboxStatus } from './runtime.js';

/** A sandbox as its file keeps it. */
export interface SandboxRecord {
  readonly id: string;
  readonly config: PodSandboxConfig;
  /** Nobody was told of one that is `creating`, so a restart takes it down. */
  readonly phase: 'creating' | 'ready' | 'stopped';
  readonly createdAtMs: number;
  /** Empty without a network of its own. */
  readonly address: string;
}

export function sandboxStatus(record: SandboxRecord): PodSandboxStatus {
  const { id, config, phase, createdAtMs, address } = record;
  const isReady = phase === 'ready';
  // The address of a stopped one may be another's by now.
  const ips = isReady && address !== '' ? [address] : [];
  return { id, config, isReady, createdAtMs, ips };
}
