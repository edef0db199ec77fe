/**
 * Makes this node an endpoint of the service `kube-system/kube-dns`, by an endpoint slice of its
 * own, which goes with the Node. It is made again when somebody changes or deletes it.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '../../../base/observe/logger.js';
import type { EndpointSlice } from '../../../gen/kube-discovery-v1.js';
import {
  DNS_NAMESPACE,
  DNS_SERVICE,
  dnsSliceOf,
  SERVICE_NAME_LABEL,
} from '../../api/service-names.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient } from '../../client/client.js';
import { keyOf } from '../../client/informer.js';
import { ENDPOINT_SLICES, NODES } from '../../client/resource-types.js';
import type { SharedInformers } from '../../client/shared-informers.js';
import { WorkQueue } from '../../client/work-queue.js';
import { runWorkers } from '../../client/workers.js';
import type { ClusterEnv } from '../../env.js';

const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
const MANAGED_BY = 'mainstay-dns';
/** The kubelet may not have registered the node yet. */
const NODE_RETRY_MS = 500;

export interface DnsPublisherSetup {
  /** May read the Node, and write the slice. */
  readonly client: KubeClient;
  readonly informers: SharedInformers;
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly port: number;
}

export class DnsPublisher {
  private readonly setup: DnsPublisherSetup;
  private readonly key: string;
  private readonly queue: WorkQueue;
  private readonly removeHandler: () => void;
  private readonly work: Promise<void>;

  constructor(setup: DnsPublisherSetup) {
    this.setup = setup;
    const { env, log, informers, nodeName } = setup;
    this.key = `${DNS_NAMESPACE}/${dnsSliceOf(nodeName)}`;
    this.queue = new WorkQueue(env);
    const look = (slice: EndpointSlice): void => {
      if (keyOf(slice) === this.key) this.queue.add(this.key);
    };
    const handler = { onAdd: look, onUpdate: look, onDelete: look };
    this.removeHandler = informers.of(ENDPOINT_SLICES).addHandler(handler);
    this.queue.add(this.key);
    this.work = runWorkers({
      env,
      log,
      queue: this.queue,
      count: 1,
      reconcile: () => this.reconcile(),
    });
  }

  /** The slice stays: the next process of the node serves it. */
  async stop(): Promise<void> {
    this.removeHandler();
    this.queue.shutDown();
    await this.work;
  }

  private async reconcile(): Promise<void> {
    const { client, informers, nodeName } = this.setup;
    const known = informers.of(ENDPOINT_SLICES).getByKey(this.key);
    const uid = await this.nodeUid();
    if (uid === undefined) {
      this.queue.addAfter(this.key, NODE_RETRY_MS);
      return;
    }
    const wanted = this.wanted(nodeName, uid);
    const slices = client.resource(ENDPOINT_SLICES, DNS_NAMESPACE);
    if (known === undefined) {
      try {
        await slices.create(wanted);
      } catch (error) {
        // It comes to the informer, and is compared then.
        if (!isApiError(error, 'AlreadyExists')) throw error;
      }
      return;
    }
    if (isSame(known, wanted)) return;
    const { resourceVersion = '' } = known.metadata;
    await slices.update({ ...wanted, metadata: { ...wanted.metadata, resourceVersion } });
  }

  private async nodeUid(): Promise<string | undefined> {
    try {
      const { metadata } = await this.setup.client.resource(NODES).get(this.setup.nodeName);
      return metadata.uid;
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  private wanted(nodeName: string, uid: string): EndpointSlice {
    const { nodeIp, port } = this.setup;
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: dnsSliceOf(nodeName),
        namespace: DNS_NAMESPACE,
        labels: { [SERVICE_NAME_LABEL]: DNS_SERVICE, [MANAGED_BY_LABEL]: MANAGED_BY },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: nodeName, uid }],
      },
      addressType: 'IPv4',
      endpoints: [
        {
          addresses: [nodeIp],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName,
        },
      ],
      ports: [
        { name: 'dns', protocol: 'UDP', port },
        { name: 'dns-tcp', protocol: 'TCP', port },
      ],
    };
  }
}

/** In what this node decides. */
function isSame(a: EndpointSlice, b: EndpointSlice): boolean {
  return isDeepStrictEqual(decided(a), decided(b));
}

function decided({ metadata, endpoints, ports }: EndpointSlice): unknown {
  const { labels, ownerReferences = [] } = metadata;
  const owners = ownerReferences.map(({ kind, name, uid }) => ({ kind, name, uid }));
  return { labels, owners, endpoints, ports };
}
