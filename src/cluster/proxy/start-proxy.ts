import { openSink } from './open-sink.js';
import { Proxy, type ProxySetup } from './proxy.js';

export interface StartProxySetup extends Omit<ProxySetup, 'sink'> {
  /** Address of this node, where node ports are served. */
  readonly nodeIp: string;
  /** False: packet rules and addresses here are not ours to change. */
  readonly ownsNetwork: boolean;
}

/**
 * Starts kube-proxy in the network namespace of this process. It waits for the informers by itself;
 * `stop` leaves the kernel's rules in place.
 */
export async function startProxy(
  setup: StartProxySetup,
): Promise<{ readonly stop: () => Promise<void> }> {
  const proxy = new Proxy({ ...setup, sink: await openSink(setup) });
  proxy.start();
  return { stop: () => proxy.stop() };
}
