import type { KubeClient } from '../client/client.js';
import { SharedInformers } from '../client/shared-informers.js';
import { startDns, type StartDnsSetup } from '../proxy/dns/start-dns.js';
import { startProxy } from '../proxy/start-proxy.js';
import type { NodeConfig, NodeDependencies } from './node-process.js';

/** Names the servers that cluster DNS asks about names outside the cluster. */
const RESOLVER_FILE = '/etc/resolv.conf';

export interface Services {
  /** What does not work here: a sentence each, for people. */
  readonly limits: readonly string[];
  /** Rules in the kernel stay. */
  stop(): Promise<void>;
}

/**
 * What makes services reachable on a node: the proxy, and DNS for their names. `client` has the
 * proxy's identity, `nodeClient` the node's own, which sees the node's pods.
 */
export async function startServices(
  config: NodeConfig,
  { env, log: nodeLog }: NodeDependencies,
  client: KubeClient,
  nodeClient: KubeClient,
): Promise<Services> {
  const log = nodeLog.child({ component: 'kube-proxy' });
  const informers = new SharedInformers(env, log, client);
  const about = {
    client: nodeClient,
    env,
    nodeName: config.name,
    nodeIp: config.address,
    informers,
  };
  const proxy = await startProxy({ ...about, log });
  const dns = await startDnsIfFree({
    ...about,
    log: nodeLog.child({ component: 'dns' }),
    clusterDomain: config.clusterDomain,
    resolverFile: RESOLVER_FILE,
  });
  informers.start();
  return {
    limits: typeof dns === 'string' ? [dns] : [],
    stop: async () => {
      await Promise.all([proxy.stop(), typeof dns === 'string' ? undefined : dns.stop()]);
      await informers.stop();
    },
  };
}

/** On a network of the machine's own, another DNS server may have the port; then a sentence says so. */
async function startDnsIfFree(
  setup: StartDnsSetup,
): Promise<string | { readonly stop: () => Promise<void> }> {
  try {
    return await startDns(setup);
  } catch (error) {
    setup.log.warn('no cluster DNS on this node', { error });
    return `names of services are not resolved on ${setup.nodeName}: ${String(error)}`;
  }
}
