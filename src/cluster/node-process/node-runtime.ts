import type { Logger } from '../../base/observe/logger.js';
import type { ClusterEnv } from '../env.js';
import { Engine } from '../runtime/engine/engine.js';
import { probeFacilities } from '../runtime/facilities.js';
import type { ContainerRuntime } from '../runtime/runtime.js';

export interface NodeRuntime {
  readonly runtime: ContainerRuntime;
  readonly minOomScoreAdj: number;
  addBaseImage(): Promise<void>;
  close(): void;
}

export async function openNodeRuntime(
  config: { readonly rootDir: string; readonly stateDir: string; readonly podCidr: string },
  { env, log }: { readonly env: ClusterEnv; readonly log: Logger },
): Promise<NodeRuntime> {
  const { rootDir, stateDir, podCidr } = config;
  const facilities = await probeFacilities(rootDir);
  const engine = await Engine.open({
    rootDir: `${rootDir}/engine`,
    stateDir,
    podCidr,
    facilities,
    env,
    log: log.child({ component: 'runtime' }),
  });
  return {
    runtime: engine,
    minOomScoreAdj: facilities.canRaiseLimits ? -997 : 0,
    addBaseImage: async () => {
      await engine.addBaseImage();
    },
    close: () => engine.close(),
  };
}
