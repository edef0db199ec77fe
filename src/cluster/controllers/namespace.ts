/** Takes away what is in a namespace that is being deleted, and then lets the namespace go. */
import type { Namespace } from '../../gen/kube-core-v1.js';
import { isApiError } from '../api/status.js';
import { NAMESPACES, PODS } from '../client/resource-types.js';
import type { WorkQueue } from '../client/work-queue.js';
import type { Informer } from '../client/informer.js';
import type { ControllerContext } from './controller.js';
import { discover, supports, type Discovered } from './discovery.js';
import { messageOf } from './errors.js';
import { conditionsOf, type Findings } from './namespace/conditions.js';
import { deleteAll, type Remaining } from './namespace/content.js';
import { timeMs } from './pods.js';
import { isGoing } from './references.js';

const FINALIZER = 'kubernetes';
/** Until then other API servers may not know yet that nothing can be created there any more. */
const SETTLE_MS = 5000;
/** For what waits on finalizers and graceful ends; the end of a pod is seen at once. */
const RETRY_MS = 5000;

export function namespaces(context: ControllerContext): void {
  new NamespaceController(context);
}

class NamespaceController {
  private readonly context: ControllerContext;
  private readonly namespaces: Informer<Namespace>;
  private readonly queue: WorkQueue;

  constructor(context: ControllerContext) {
    this.context = context;
    this.namespaces = context.informers.of(NAMESPACES);
    const reconcile = (name: string): Promise<void> => this.reconcile(name);
    this.queue = context.loop({ name: 'namespace', workers: 5, reconcile });
    const enqueue = (namespace: Namespace): void => {
      if (isGoing(namespace)) this.queue.add(namespace.metadata.name ?? '');
    };
    this.namespaces.addHandler({
      onAdd: enqueue,
      onUpdate: (namespace, old) => {
        if (!isGoing(old)) enqueue(namespace);
      },
    });
    context.informers.of(PODS).addHandler({
      onDelete: ({ metadata }) => {
        const namespace = this.namespaces.get('', metadata.namespace ?? '');
        if (namespace !== undefined) enqueue(namespace);
      },
    });
  }

  private async reconcile(name: string): Promise<void> {
    const namespace = this.namespaces.getByKey(name);
    if (namespace === undefined || !isGoing(namespace)) return;
    if (!(namespace.spec?.finalizers ?? []).includes(FINALIZER)) return;
    const sinceMs = this.context.env.wallMs() - timeMs(namespace.metadata.deletionTimestamp);
    if (sinceMs < SETTLE_MS) {
      this.queue.addAfter(name, SETTLE_MS - sinceMs);
      return;
    }
    const { client, signal } = this.context;
    const discovered = await discover(client, signal);
    const findings = await this.empty(name, discovered, sinceMs);
    const written = await this.report(namespace, findings);
    if (written === undefined) return;
    const { remaining, errors, discoveryFailures } = findings;
    if (remaining.length + errors.length + discoveryFailures.length === 0) {
      await this.finalize(written);
    } else {
      this.queue.addAfter(name, RETRY_MS);
    }
  }

  /** Pods first: they may need the rest until they end. */
  private async empty(name: string, discovered: Discovered, sinceMs: number): Promise<Findings> {
    const discoveryFailures = discovered.failures;
    const all = discovered.resources.filter(
      (type) => type.isNamespaced && supports(type, 'delete'),
    );
    const isPods = ({ group, resource }: (typeof all)[number]): boolean =>
      group === PODS.group && resource === PODS.resource;
    const pods = await this.deleteTypes(name, all.filter(isPods), sinceMs);
    if (pods.remaining.length + pods.errors.length > 0) return { discoveryFailures, ...pods };
    const others = all.filter((type) => !isPods(type));
    return { discoveryFailures, ...(await this.deleteTypes(name, others, sinceMs)) };
  }

  private async deleteTypes(
    name: string,
    types: Discovered['resources'],
    sinceMs: number,
  ): Promise<Pick<Findings, 'errors' | 'remaining'>> {
    const errors: string[] = [];
    const remaining: Remaining[] = [];
    for (const type of types) {
      if (this.context.signal.aborted) break;
      try {
        const left = await deleteAll(this.context.client, type, name, sinceMs);
        if (left?.isUnexpected === true) {
          const { group, version, resource } = type;
          const what = `${group}/${version}, Resource=${resource}`;
          errors.push(`unexpected items still remain in namespace: ${name} for gvr: ${what}`);
        } else if (left !== undefined) remaining.push(left);
      } catch (error) {
        errors.push(messageOf(error));
      }
    }
    return { errors, remaining };
  }

  /** The namespace as it is now; undefined when it is gone. */
  private async report(namespace: Namespace, findings: Findings): Promise<Namespace | undefined> {
    const { client, env, signal } = this.context;
    const known = namespace.status?.conditions ?? [];
    const conditions = conditionsOf(known, findings, env.wallMs());
    if (conditions === known || signal.aborted) return signal.aborted ? undefined : namespace;
    const status = { ...namespace.status, conditions: [...conditions] };
    try {
      return await client.resource(NAMESPACES).updateStatus({ ...namespace, status });
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  private async finalize(namespace: Namespace): Promise<void> {
    const { metadata, spec } = namespace;
    const finalizers = (spec?.finalizers ?? []).filter((finalizer) => finalizer !== FINALIZER);
    const body = { ...namespace, spec: { ...spec, finalizers } };
    try {
      const resource = this.context.client.resource(NAMESPACES);
      await resource.updateSubresource(metadata.name ?? '', 'finalize', body);
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }
}
