import type { KubeClient } from '../client/client.js';
import { SharedInformers } from '../client/shared-informers.js';
import { startProxy } from '../proxy/start-proxy.js';
import type { NodeConfig, NodeDependencies } from './node-process.js';

export interface Services {
  /** Rules in the kernel stay. */
  stop(): Promise<void>;
}

/**
 * What makes services reachable on a node: the proxy. `client` has the proxy's identity,
 * `nodeClient` the node's own, which sees the node's pods.
 */
export async function startServices(
  config: NodeConfig,
  { env, log }: NodeDependencies,
  client: KubeClient,
  nodeClient: KubeClient,
): Promise<Services> {
  const informers = new SharedInformers(env, log.child({ component: 'kube-proxy' }), client);
  const proxy = await startProxy({
    client: nodeClient,
    env,
    log: log.child({ component: 'kube-proxy' }),
    nodeName: config.name,
    nodeIp: config.address,
    informers,
  });
  informers.start();
  return {
    stop: async () => {
      await Promise.all([proxy.stop(), informers.stop()]);
    },
  };
}
