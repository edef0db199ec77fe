import { openSink } from './open-sink.js';
import { Proxy, type ProxySetup } from './proxy.js';

export interface StartProxySetup extends Omit<ProxySetup, 'sink'> {
  /** Address of this node, where node ports are served. */
  readonly nodeIp: string;
}

/**
 * Starts kube-proxy in the network namespace of this process. It waits for the informers by itself;
 * `stop` leaves the kernel's rules in place.
 */
export async function startProxy(
  setup: StartProxySetup,
): Promise<{ readonly stop: () => Promise<void> }> {
  const { env, log, nodeIp } = setup;
  const proxy = new Proxy({ ...setup, sink: await openSink({ env, log, nodeIp }) });
  proxy.start();
  return { stop: () => proxy.stop() };
}
