import type { Logger } from '../../../base/observe/logger.js';
import { DNS_NAMESPACE, DNS_SERVICE } from '../../api/service-names.js';
import type { KubeClient } from '../../client/client.js';
import { SERVICES } from '../../client/resource-types.js';
import type { SharedInformers } from '../../client/shared-informers.js';
import type { ClusterEnv } from '../../env.js';
import { Forwarder } from './forwarder.js';
import { DnsPublisher } from './publish.js';
import { Resolver } from './resolver.js';
import { DnsServer } from './server.js';
import { ClusterZone } from './zone.js';

const PORT = 53;

export interface StartDnsSetup {
  /** May read the Node, and write the node's endpoint slice of `kube-dns`. */
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly nodeName: string;
  /** Address at which DNS is served, and which is published. */
  readonly nodeIp: string;
  /** 53; 0 for any that is free. */
  readonly port?: number;
  /** Over services and endpoint slices; started by who shares them. */
  readonly informers: SharedInformers;
  /** `cluster.local`. */
  readonly clusterDomain: string;
  /** resolv.conf that names the servers for all other names. */
  readonly resolverFile: string;
}

/**
 * Starts cluster DNS for the pods of this node. It serves at once, and is published as an endpoint
 * when it knows all services. Rejects with the operating system's error when the port is taken.
 */
export async function startDns(
  setup: StartDnsSetup,
): Promise<{ readonly port: number; readonly stop: () => Promise<void> }> {
  const { env, log, nodeIp, informers, clusterDomain, resolverFile } = setup;
  const services = informers.of(SERVICES);
  const isOwnAddress = (ip: string): boolean =>
    ip === nodeIp || services.get(DNS_NAMESPACE, DNS_SERVICE)?.spec.clusterIP === ip;
  const zone = new ClusterZone(informers, clusterDomain);
  const forwarder = new Forwarder({ env, log, resolverFile, isOwnAddress });
  const resolver = new Resolver(env, zone, forwarder);
  const server = await DnsServer.listen({
    env,
    log,
    address: nodeIp,
    port: setup.port ?? PORT,
    answer: (message, isTcp) => resolver.answer(message, isTcp),
  });
  log.info('cluster DNS serves', { address: nodeIp, port: server.port, domain: zone.domain });
  let isStopping = false;
  let publisher: DnsPublisher | undefined;
  void informers.synced().then((hasSynced) => {
    if (hasSynced && !isStopping) publisher = new DnsPublisher({ ...setup, port: server.port });
  });
  return {
    port: server.port,
    stop: async () => {
      isStopping = true;
      await publisher?.stop();
      await server.stop();
    },
  };
}
