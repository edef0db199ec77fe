/**
 * Routes of this node's network namespace to the pods of the other nodes: each node's pod range via
 * its address. They carry a protocol number of their own, so that what an earlier process left is
 * found; other routes are left alone.
 */
import { execFile } from 'node:child_process';
import { isIPv4 } from 'node:net';
import { promisify } from 'node:util';
import { invariant } from '../../base/invariant.js';
import type { Logger } from '../../base/observe/logger.js';
import type { Node } from '../../gen/kube-core-v1.js';
import type { Informer } from '../client/informer.js';
import { NODES } from '../client/resource-types.js';
import type { SharedInformers } from '../client/shared-informers.js';
import { WorkQueue } from '../client/work-queue.js';
import { runWorkers } from '../client/workers.js';
import type { ClusterEnv } from '../env.js';

const execute = promisify(execFile);
/** Routing protocol number (rtnetlink) that no routing daemon known to iproute2 has. */
const PROTOCOL = '177';
const IPV4_RANGE = /^(\d+\.){3}\d+\/\d+$/;
/** Somebody else may have removed a route. */
const REFRESH_MS = 30_000;
const ALL = 'routes';

export interface NodeRoutesSetup {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly nodeName: string;
  /** Over nodes; started by who shares them. */
  readonly informers: SharedInformers;
  /** Program in the place of `ip`. */
  readonly ipProgram?: string;
}

/** Follows the Node objects. Routes stay when it stops. */
export class NodeRoutes {
  private readonly setup: NodeRoutesSetup;
  private readonly nodes: Informer<Node>;
  private readonly queue: WorkQueue;
  private readonly removeHandler: () => void;
  private work: Promise<void> | undefined;

  constructor(setup: NodeRoutesSetup) {
    this.setup = setup;
    this.nodes = setup.informers.of(NODES);
    this.queue = new WorkQueue(setup.env);
    const add = (): void => this.queue.add(ALL);
    const onUpdate = (node: Node, old: Node): void => {
      if (String(routeOf(node)) !== String(routeOf(old))) add();
    };
    this.removeHandler = this.nodes.addHandler({ onAdd: add, onUpdate, onDelete: add });
  }

  start(): void {
    invariant(this.work === undefined, 'routes are started once');
    const { env, log } = this.setup;
    const reconcile = (): Promise<void> => this.reconcile();
    this.work = runWorkers({ env, log, queue: this.queue, count: 1, reconcile });
    void this.nodes.synced.then(() => this.queue.add(ALL));
  }

  /** It may wait for a command that runs. */
  async stop(): Promise<void> {
    this.removeHandler();
    this.queue.shutDown();
    await this.work;
  }

  private async reconcile(): Promise<void> {
    // Nodes that are not seen yet must not lose their routes.
    if (!this.nodes.hasSynced) return;
    const wanted = new Map<string, string>();
    for (const node of this.nodes.list()) {
      const route = routeOf(node);
      if (route !== undefined && node.metadata.name !== this.setup.nodeName) wanted.set(...route);
    }
    const present = parseRoutes(await this.ip('-4', 'route', 'show', 'proto', PROTOCOL));
    for (const [range, gateway] of present) {
      if (wanted.has(range)) continue;
      await this.ip('route', 'delete', range, 'via', gateway, 'proto', PROTOCOL);
    }
    const errors: unknown[] = [];
    for (const [range, gateway] of wanted) {
      if (present.get(range) === gateway) continue;
      try {
        await this.ip('route', 'replace', range, 'via', gateway, 'proto', PROTOCOL);
      } catch (error) {
        errors.push(error);
      }
    }
    this.queue.addAfter(ALL, REFRESH_MS);
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('; '));
  }

  private async ip(...args: readonly string[]): Promise<string> {
    const { stdout } = await execute(this.setup.ipProgram ?? 'ip', args);
    return stdout;
  }
}

/** Pod range of a node and its address; undefined while it lacks one. */
export function routeOf({ spec, status }: Node): [string, string] | undefined {
  const ranges = spec?.podCIDRs ?? [spec?.podCIDR ?? ''];
  const range = ranges.find((one) => IPV4_RANGE.test(one));
  const address = status?.addresses?.find(
    (one) => one.type === 'InternalIP' && isIPv4(one.address),
  )?.address;
  return range === undefined || address === undefined ? undefined : [range, address];
}

/** Range -> gateway, of the output of `ip route show`. */
function parseRoutes(output: string): Map<string, string> {
  const routes = new Map<string, string>();
  for (const line of output.split('\n')) {
    const match = /^(\S+) via (\S+)/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) routes.set(match[1], match[2]);
  }
  return routes;
}
