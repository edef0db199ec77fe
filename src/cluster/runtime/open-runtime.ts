/** Chooses a container runtime by what this machine can do. */
import { describeFacilities, missingForEngine, probeFacilities } from './facilities.js';
import { Engine } from './engine/engine.js';
import type { LocalRuntime, LocalRuntimeOptions } from './local-runtime.js';
import { ProcessRuntime } from './process/process-runtime.js';
import { RuntimeError } from './runtime.js';

export const RUNTIME_KINDS = ['auto', 'engine', 'process'] as const;
/** Values of `--container-runtime`. `auto`: the engine where it can run, else plain processes. */
export type RuntimeKind = (typeof RUNTIME_KINDS)[number];

export interface OpenRuntimeOptions extends Omit<LocalRuntimeOptions, 'facilities'> {
  readonly kind: RuntimeKind;
}

/**
 * Opens the runtime on its directories, and logs in one line what the machine offers. Its caller is
 * alone on the directories, and runs in the node's network namespace and the machine's mounts.
 *
 * Rejects with RuntimeError Unimplemented when `engine` is asked for and cannot run.
 */
export async function openRuntime(options: OpenRuntimeOptions): Promise<LocalRuntime> {
  const { kind, log, rootDir } = options;
  const facilities = await probeFacilities(rootDir);
  const missing = missingForEngine(facilities);
  if (kind === 'engine' && missing.length > 0) {
    const words = `the container engine cannot run here: missing ${missing.join(', ')}`;
    throw new RuntimeError('Unimplemented', words);
  }
  const isEngine = kind !== 'process' && missing.length === 0;
  log.info('container runtime', {
    runtime: isEngine ? 'engine' : 'process',
    facilities: describeFacilities(facilities),
    ...(missing.length > 0 ? { missing: missing.join(', ') } : {}),
  });
  return isEngine
    ? Engine.open({ ...options, facilities })
    : ProcessRuntime.open({ ...options, facilities });
}
