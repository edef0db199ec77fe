import { startControlPlane } from '../cluster/control-plane/control-plane.js';
import { systemClusterEnv } from '../cluster/system-env.js';
import { runComponent } from './component.js';
import { controlPlaneConfig } from './up/cluster-config.js';
import { requiredPlan } from './up/cluster-plan.js';

/** `mainstay control-plane`: API server, controllers and scheduler of the cluster in `dir`. Returns the exit code. */
export function runControlPlaneCommand(options: { readonly dir: string }): Promise<number> {
  return runComponent('control plane', async (log) => {
    const config = controlPlaneConfig(requiredPlan(options.dir), options.dir);
    const controlPlane = await startControlPlane(config, { env: systemClusterEnv(), log });
    return {
      limits: [],
      stop: () => controlPlane.stop(),
      report: () => ({ address: config.address, port: config.port }),
      accept: (connection) => controlPlane.accept(connection),
    };
  });
}
