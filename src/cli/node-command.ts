import { startNode } from '../cluster/node-process/node-process.js';
import { removeNode } from '../cluster/node-process/remove-node.js';
import { systemClusterEnv } from '../cluster/system-env.js';
import { createLogger } from '../base/observe/logger.js';
import { runComponent } from './component.js';
import { exitCodeOf } from './outcome.js';
import { nodeConfig } from './up/cluster-config.js';
import { requiredPlan } from './up/cluster-plan.js';

export interface NodeFlags {
  readonly dir: string;
  readonly name: string;
  /** Remove all containers of the node instead of running it. */
  readonly remove: boolean;
}

/** `mainstay node`: one node of the cluster in `dir`. Returns the exit code. */
export function runNodeCommand({ dir, name, remove }: NodeFlags): Promise<number> {
  const env = systemClusterEnv();
  if (remove) {
    return exitCodeOf(async () => {
      const log = createLogger({ level: 'warn', format: 'console', outputs: [] });
      await removeNode(nodeConfig(requiredPlan(dir), dir, name), { env, log });
      log.flush();
      return 0;
    });
  }
  return runComponent(`node ${name}`, async (log) => {
    const node = await startNode(nodeConfig(requiredPlan(dir), dir, name), { env, log });
    return {
      limits: node.limits,
      stop: () => node.stop(),
      report: () => node.report(),
      accept: (connection, { port }) => node.forward(connection, port),
    };
  });
}
