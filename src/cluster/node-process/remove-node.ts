import { rm } from 'node:fs/promises';
import { removeEmptyGroups } from '../runtime/engine/cgroups.js';
import { unmountBelow } from '../runtime/mounts.js';
import { openNodeRuntime } from './node-process.js';
import type { NodeConfig, NodeDependencies } from './node-process.js';

/**
 * Removes every container of a node that does not run, and every mount it made. Images, volumes
 * and logs stay. Runs in the node's network namespace, where that still exists.
 */
export async function removeNode(
  config: NodeConfig,
  dependencies: NodeDependencies,
): Promise<void> {
  const runtime = await openNodeRuntime(config, dependencies);
  const sandboxes = await runtime.listPodSandboxes();
  await Promise.all(sandboxes.map(({ id }) => runtime.removePodSandbox(id)));
  runtime.close();
  await unmountBelow(config.rootDir);
  await unmountBelow(config.stateDir);
  removeEmptyGroups(config.cgroupRoot);
  await rm(config.stateDir, { recursive: true, force: true });
}
