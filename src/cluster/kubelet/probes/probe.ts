/** One probe of a container: what is asked, and what an answer means. */
import type { Container, Probe } from '../../../gen/kube-core-v1.js';
import type { ContainerRuntime } from '../../runtime/runtime.js';
import { RuntimeError } from '../../runtime/runtime.js';
import { formatDurationMs } from '../../../base/go-duration.js';
import { messageOf } from '../pods/start-error.js';
import type { NetworkProbes } from './network.js';
import { namedPort } from './target.js';

export type ProbeKind = 'liveness' | 'readiness' | 'startup';

export interface ProbeOutcome {
  /** `error`: the probe itself could not be made, which says nothing about the container. */
  readonly result: 'success' | 'failure' | 'error';
  readonly output: string;
}

export interface ProbeContext {
  readonly runtime: ContainerRuntime;
  readonly network: NetworkProbes;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
}

const SERVING = 1;
const HEALTH_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
/** Answers are shown to people; some pages are long. */
const MAX_OUTPUT = 1024;

export function probeOf(container: Container, kind: ProbeKind): Probe | undefined {
  switch (kind) {
    case 'liveness':
      return container.livenessProbe;
    case 'readiness':
      return container.readinessProbe;
    case 'startup':
      return container.startupProbe;
    default:
      return kind satisfies never;
  }
}

/** Never rejects. */
export async function runProbe(context: ProbeContext, probe: Probe): Promise<ProbeOutcome> {
  try {
    const outcome = await ask(context, probe);
    return { ...outcome, output: outcome.output.slice(0, MAX_OUTPUT) };
  } catch (error) {
    return { result: 'error', output: messageOf(error) };
  }
}

function ask(context: ProbeContext, probe: Probe): Promise<ProbeOutcome> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  if (probe.exec !== undefined) return exec(context, probe.exec.command ?? [], timeoutMs);
  if (probe.httpGet !== undefined) return httpGet(context, probe.httpGet, timeoutMs);
  const { container, network, podIp } = context;
  if (probe.tcpSocket !== undefined) {
    const { host, port } = probe.tcpSocket;
    return failing(network.tcp(host ?? podIp, namedPort(container, port), timeoutMs));
  }
  if (probe.grpc !== undefined) {
    return grpc(context, probe.grpc.port, probe.grpc.service ?? '', timeoutMs);
  }
  throw new Error('missing probe handler');
}

async function exec(
  { runtime, containerId }: ProbeContext,
  command: readonly string[],
  timeoutMs: number,
): Promise<ProbeOutcome> {
  try {
    const { exitCode, stdout, stderr } = await runtime.execSync(containerId, command, timeoutMs);
    const output = Buffer.concat([stdout, stderr]).toString('utf8');
    return { result: exitCode === 0 ? 'success' : 'failure', output };
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.reason !== 'DeadlineExceeded') throw error;
    const text = `command timed out: "${command.join(' ')}" timed out after ${formatDurationMs(timeoutMs)}`;
    return { result: 'failure', output: text };
  }
}

async function httpGet(
  { container, network, podIp }: ProbeContext,
  action: NonNullable<Probe['httpGet']>,
  timeoutMs: number,
): Promise<ProbeOutcome> {
  const port = namedPort(container, action.port);
  const target = {
    host: action.host ?? podIp,
    port,
    path: action.path ?? '/',
    isTls: action.scheme === 'HTTPS',
    headers: action.httpHeaders ?? [],
    timeoutMs,
  };
  try {
    const { status, body, leadsAway } = await network.http(target);
    if (leadsAway || (status >= 200 && status < 400)) return { result: 'success', output: body };
    return { result: 'failure', output: `HTTP probe failed with statuscode: ${status}` };
  } catch (error) {
    return { result: 'failure', output: messageOf(error) };
  }
}

async function failing(work: Promise<void>): Promise<ProbeOutcome> {
  try {
    await work;
    return { result: 'success', output: '' };
  } catch (error) {
    return { result: 'failure', output: messageOf(error) };
  }
}

async function grpc(
  { network, podIp }: ProbeContext,
  port: number,
  service: string,
  timeoutMs: number,
): Promise<ProbeOutcome> {
  try {
    const status = await network.grpc(podIp, port, service, timeoutMs);
    if (status === SERVING) return { result: 'success', output: 'service healthy' };
    const name = HEALTH_NAMES[status] ?? String(status);
    return { result: 'failure', output: `service unhealthy (responded with "${name}")` };
  } catch (error) {
    return { result: 'failure', output: `error: ${messageOf(error)}` };
  }
}
