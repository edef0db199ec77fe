/**
 * A process to be killed: opens the engine on the directory that it is given, and makes and removes
 * pods without end. It tells on standard output what it has been promised: a line for each container
 * that was started, `<sandbox> <container>`.
 */
import { silentLogger } from '../../../src/base/observe/logger.js';
import { openRuntime } from '../../../src/cluster/runtime/open-runtime.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { directoriesIn } from './engine-under-test.js';

const [dir = '', cgroup = '', prefix = ''] = process.argv.slice(2);

const runtime = await openRuntime({
  kind: 'engine',
  ...directoriesIn(dir),
  podCidr: '10.251.7.0/24',
  env: systemClusterEnv(),
  log: silentLogger,
});
const image = await runtime.imageStatus('busybox');
console.log('ready');
for (let i = 0; ; i++) {
  const uid = `${prefix}-${i}`;
  const sandbox = await runtime.runPodSandbox({
    name: uid,
    namespace: 'default',
    uid,
    attempt: 0,
    hostname: uid,
    logDirectory: `${dir}/logs/${uid}`,
    dns: { servers: [], searches: [], options: [] },
    portMappings: [],
    labels: {},
    annotations: {},
    cgroupParent: `${cgroup}/${uid}`,
    sysctls: {},
    namespaces: { network: 'pod', pid: i % 3 === 2 ? 'pod' : 'container', ipc: 'pod' },
  });
  const container = await runtime.createContainer(sandbox, {
    name: 'app',
    attempt: 0,
    imageId: image?.id ?? '',
    image: 'busybox',
    command: ['sleep', '1000'],
    args: [],
    workingDir: '',
    env: [],
    mounts: [],
    labels: {},
    annotations: {},
    logPath: 'app/0.log',
    hasStdin: false,
    isStdinOnce: false,
    hasTty: false,
    resources: {
      cpuShares: 2,
      cpuQuotaUs: 0,
      cpuPeriodUs: 0,
      memoryLimitBytes: 0,
      oomScoreAdj: 1000,
    },
    security: {
      isPrivileged: false,
      addCapabilities: [],
      dropCapabilities: [],
      runAsUser: undefined,
      runAsGroup: undefined,
      supplementalGroups: [],
      isRootReadOnly: false,
      noNewPrivileges: false,
    },
    stopSignal: '',
  });
  await runtime.startContainer(container);
  console.log(`${sandbox} ${container}`);
  if (i % 2 === 0) continue;
  console.log(`removing ${container}`);
  await runtime.removePodSandbox(sandbox);
}
