/**
 * A process to be killed: opens the engine on the directory that it is given, and makes and removes
 * pods without end. It tells on standard output what it has been promised: a line for each container
 * that was started, `<sandbox> <container>`.
 */
import { silentLogger } from '../../../src/base/observe/logger.js';
import { openRuntime } from '../../../src/cluster/runtime/open-runtime.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { containerConfig } from './container-config.js';
import { sandboxConfig } from './sandbox-config.js';
import { directoriesIn, POD_CIDR } from './engine-under-test.js';

const [dir = '', cgroup = '', networkNamespace = '', prefix = ''] = process.argv.slice(2);

const runtime = await openRuntime({
  kind: 'engine',
  ...directoriesIn(dir),
  podCidr: POD_CIDR,
  networkNamespace,
  env: systemClusterEnv(),
  log: silentLogger,
});
const image = await runtime.imageStatus('busybox');
console.log('ready');
for (let i = 0; ; i++) {
  const uid = `${prefix}-${i}`;
  const sandbox = await runtime.runPodSandbox(
    sandboxConfig({
      uid,
      logDirectory: `${dir}/logs/${uid}`,
      cgroupParent: `${cgroup}/${uid}`,
      namespaces: { network: 'pod', pid: i % 3 === 2 ? 'pod' : 'container', ipc: 'pod' },
    }),
  );
  const container = await runtime.createContainer(
    sandbox,
    containerConfig({ imageId: image?.id ?? '', command: ['sleep', '1000'] }),
  );
  await runtime.startContainer(container);
  console.log(`${sandbox} ${container}`);
  if (i % 2 === 0) continue;
  console.log(`removing ${container}`);
  await runtime.removePodSandbox(sandbox);
}
