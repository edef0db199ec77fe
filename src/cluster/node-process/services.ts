import type { KubeClient } from '../client/client.js';
import { SharedInformers } from '../client/shared-informers.js';
import { startDns } from '../proxy/dns/start-dns.js';
import { startProxy } from '../proxy/start-proxy.js';
import type { NodeConfig, NodeDependencies } from './node-process.js';

export interface Services {
  /** Things that do not work on this machine: a sentence each, for people. */
  readonly limits: readonly string[];
  /** Rules in the kernel stay. */
  stop(): Promise<void>;
}

/** Names no servers: nothing leads out of the networks of a cluster. */
const NO_RESOLVERS = '/dev/null';

/**
 * Makes services reachable on a node, by address and by name: proxy and DNS. `client` has the
 * proxy's identity, `nodeClient` the node's own, which sees the node's pods.
 *
 * In the machine's own network there is no DNS: pods there have the machine's resolver.
 */
export async function startServices(
  { name, address, ownsNetwork, clusterDomain }: NodeConfig,
  { env, log }: NodeDependencies,
  client: KubeClient,
  nodeClient: KubeClient,
): Promise<Services> {
  const informers = new SharedInformers(env, log.child({ component: 'kube-proxy' }), client);
  const node = { client: nodeClient, env, nodeName: name, nodeIp: address, informers };
  const proxy = await startProxy({
    ...node,
    log: log.child({ component: 'kube-proxy' }),
    ownsNetwork,
  });
  const dns = ownsNetwork
    ? await startDns({
        ...node,
        log: log.child({ component: 'dns' }),
        clusterDomain,
        resolverFile: NO_RESOLVERS,
      })
    : undefined;
  informers.start();
  return {
    limits: ownsNetwork ? [] : ['services are reached by node ports alone, and not by name'],
    stop: async () => {
      await Promise.all([proxy.stop(), dns?.stop()]);
      await informers.stop();
    },
  };
}
