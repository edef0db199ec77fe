import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { openRuntime } from '../../../src/cluster/runtime/open-runtime.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { podSuite, type ClosableRuntime } from './pod-suite.js';

describe('plain processes as containers', () => {
  let dir = '';
  const open = (): Promise<ClosableRuntime> =>
    openRuntime({
      kind: 'process',
      rootDir: join(dir, 'root'),
      stateDir: join(dir, 'state'),
      podCidr: '10.251.8.0/24',
      env: systemClusterEnv(),
      log: silentLogger,
    });

  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'mainstay-process-'));
  });

  podSuite(
    {
      open,
      networkNamespace: '/proc/self/ns/net',
      cleanUp: async () => rmSync(dir, { recursive: true, force: true }),
    },
    [],
  );

  it('says that it does not isolate, and refuses what needs it', async () => {
    const runtime = await open();
    try {
      expect((await runtime.status()).description).to.contain('without isolation');
    } finally {
      runtime.close();
    }
  });
});
