import type { Logger } from '../../../base/observe/logger.js';
import type { Lease } from '../../../gen/kube-coordination-v1.js';
import type { Node } from '../../../gen/kube-core-v1.js';
import { isApiError } from '../../api/status.js';
import type { KubeClient, ResourceClient } from '../../client/client.js';
import { LEASES } from '../../client/resource-types.js';
import type { ClusterEnv } from '../../env.js';
import { jittered, sleep } from '../../env.js';
import { formatMicroTime } from '../../api/time.js';
import { messageOf } from '../pods/start-error.js';

const NAMESPACE = 'kube-node-lease';
const DURATION_SECONDS = 40;
const RENEW_MS = 10_000;
const RETRY_MS = 1000;
const JITTER = 0.04;

/** Renews the Lease by which controllers see that this node lives. */
export class NodeLease {
  readonly #env: ClusterEnv;
  readonly #log: Logger;
  readonly #leases: ResourceClient<Lease>;
  readonly #stopped = new AbortController();
  #lease: Lease | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(env: ClusterEnv, log: Logger, client: KubeClient) {
    this.#env = env;
    this.#log = log;
    this.#leases = client.resource(LEASES, NAMESPACE);
  }

  /** `node` is asked at each renewal: the object may be deleted and made anew. */
  start(node: () => Node): void {
    this.#running = this.#run(node);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(node: () => Node): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      let pauseMs = RENEW_MS;
      try {
        await this.#renew(node());
      } catch (error) {
        if (signal.aborted) return;
        // The lease is read anew: a write whose answer was lost may have succeeded.
        this.#lease = undefined;
        this.#log.warn('node lease not renewed', { why: messageOf(error) });
        pauseMs = RETRY_MS;
      }
      await sleep(this.#env, jittered(this.#env, pauseMs, JITTER), signal);
    }
  }

  async #renew(node: Node): Promise<void> {
    const { signal } = this.#stopped;
    const name = node.metadata.name ?? '';
    const renewTime = formatMicroTime(this.#env.wallMs());
    const spec = { holderIdentity: name, leaseDurationSeconds: DURATION_SECONDS, renewTime };
    const known = this.#lease ?? (await this.#read(name));
    if (known === undefined) {
      this.#lease = await this.#leases.create(newLease(node, spec), { signal });
      return;
    }
    const ownerReferences = [ownerOf(node)];
    this.#lease = await this.#leases.update(
      {
        ...known,
        metadata: { ...known.metadata, ownerReferences },
        spec: { ...known.spec, ...spec },
      },
      { signal },
    );
  }

  async #read(name: string): Promise<Lease | undefined> {
    try {
      return await this.#leases.get(name, { signal: this.#stopped.signal });
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }
}

type Owner = NonNullable<Lease['metadata']['ownerReferences']>[number];

function ownerOf({ metadata }: Node): Owner {
  return { apiVersion: 'v1', kind: 'Node', name: metadata.name ?? '', uid: metadata.uid ?? '' };
}

/** Goes with its node. */
function newLease(node: Node, spec: Lease['spec']): Lease {
  const { name } = node.metadata;
  const ownerReferences = [ownerOf(node)];
  const metadata = { name, namespace: NAMESPACE, ownerReferences };
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
}
