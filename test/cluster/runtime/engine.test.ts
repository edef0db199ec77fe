import { rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { Engine } from '../../../src/cluster/runtime/engine/engine.js';
import { probeFacilities } from '../../../src/cluster/runtime/facilities.js';
import { mountsBelow, unmountBelow } from '../../../src/cluster/runtime/mounts.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { podSuite, type Capability, type RuntimeUnderTest } from './pod-suite.js';

const ALL: Capability[] = [
  'isolation',
  'network',
  'resources',
  'terminal',
  'stdin',
  'mounts',
  'users',
];

describe('the container engine', () => {
  podSuite(engineUnderTest, ALL);
});

async function engineUnderTest(): Promise<RuntimeUnderTest> {
  const dir = mkdtempSync(join(tmpdir(), 'mainstay-engine-'));
  const facilities = await probeFacilities(dir);
  return {
    capabilities: new Set(ALL),
    open: async () => {
      const engine = await Engine.open({
        rootDir: join(dir, 'root'),
        stateDir: join(dir, 'state'),
        podCidr: '10.251.7.0/24',
        facilities,
        env: systemClusterEnv(),
        log: silentLogger,
      });
      await engine.addBaseImage();
      return engine;
    },
    abandon: (runtime) => {
      if (runtime instanceof Engine) runtime.close();
    },
    cleanUp: async () => {
      if (mountsBelow(dir).length > 0) await unmountBelow(dir);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
