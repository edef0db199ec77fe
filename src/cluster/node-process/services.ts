import type { KubeClient } from '../client/client.js';
import { SharedInformers } from '../client/shared-informers.js';
import { NftTable } from '../proxy/nftables/table.js';
import { Proxy } from '../proxy/proxy.js';
import type { NodeConfig, NodeDependencies } from './node-process.js';

const TABLE = 'kube-proxy';

export interface Services {
  /** Rules in the kernel stay. */
  stop(): Promise<void>;
}

/**
 * What makes services reachable on a node: the proxy. `client` has the proxy's identity,
 * `nodeClient` the node's own, which sees the node's pods.
 */
export function startServices(
  config: NodeConfig,
  { env, log }: NodeDependencies,
  client: KubeClient,
  nodeClient: KubeClient,
): Services {
  const informers = new SharedInformers(env, log.child({ component: 'kube-proxy' }), client);
  const table = new NftTable(TABLE);
  const proxy = new Proxy({
    client: nodeClient,
    env,
    log: log.child({ component: 'kube-proxy' }),
    nodeName: config.name,
    informers,
    sink: {
      apply: (ruleset) => table.apply(ruleset),
      stop: () => Promise.resolve(),
    },
  });
  proxy.start();
  informers.start();
  return {
    stop: async () => {
      await Promise.all([proxy.stop(), informers.stop()]);
    },
  };
}
