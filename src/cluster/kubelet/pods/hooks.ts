/** Hooks of a container's life: postStart and preStop. */
import type { Container, LifecycleHandler, Pod } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv } from '../../env.js';
import { sleep } from '../../env.js';
import type { ContainerRuntime } from '../../runtime/runtime.js';
import type { NetworkProbes } from '../probes/network.js';
import { namedPort } from '../probes/target.js';

/** No end in sight; the pod's grace ends a preStop hook. */
const HTTP_TIMEOUT_MS = 60_000;

export interface HookOptions {
  readonly env: ClusterEnv;
  readonly runtime: ContainerRuntime;
  readonly network: NetworkProbes;
}

/** Rejects with an Error that tells how the hook failed. */
export async function runHook(
  { env, runtime, network }: HookOptions,
  pod: Pod,
  container: Container,
  containerId: string,
  hook: LifecycleHandler,
  podIp: string,
): Promise<void> {
  const { exec, httpGet, tcpSocket, sleep: pause } = hook;
  if (exec !== undefined) {
    const { command = [] } = exec;
    const { exitCode, stdout, stderr } = await runtime.execSync(containerId, command, 0);
    if (exitCode === 0) return;
    const output = Buffer.concat([stdout, stderr]).toString('utf8');
    throw new Error(`command '${command.join(' ')}' exited with ${exitCode}: ${output}`);
  }
  if (httpGet !== undefined) {
    const port = namedPort(container, httpGet.port);
    const { status } = await network.http({
      host: httpGet.host ?? podIp,
      port,
      path: httpGet.path ?? '/',
      isTls: httpGet.scheme === 'HTTPS',
      headers: httpGet.httpHeaders ?? [],
      timeoutMs: HTTP_TIMEOUT_MS,
    });
    // Kubernetes, too, takes any answer below 400 for success here.
    if (status >= 400)
      throw new Error(`HTTP status ${status} from hook of ${pod.metadata.name ?? ''}`);
    return;
  }
  if (pause !== undefined) return sleep(env, pause.seconds * 1000);
  if (tcpSocket !== undefined) throw new Error('tcpSocket hooks are not supported');
  throw new Error('hook has no action');
}
