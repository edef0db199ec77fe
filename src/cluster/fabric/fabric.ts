/**
 * The networks of a cluster on one machine: a namespace for each node, and one that joins them by a
 * bridge, where the control plane runs. Nothing of it is seen outside of these namespaces, so that
 * several clusters may use the same addresses.
 */
import {
  configure,
  enableForwarding,
  ensureNamespace,
  enterCommand,
  hasLink,
  isNamespace,
  namespacesWith,
  removeNamespace,
} from './namespaces.js';

export interface FabricNode {
  readonly name: string;
  /** On the bridge. */
  readonly address: string;
  /** Of its pods: other nodes have a route to it. */
  readonly podCidr: string;
}

export interface FabricPlan {
  /** Unique on the machine. All namespaces are named `mainstay-<id>-...`. */
  readonly id: string;
  /** Of the bridge, where the control plane is reached. */
  readonly address: string;
  /** Length of the prefix of all addresses on the bridge. */
  readonly prefixLength: number;
  readonly nodes: readonly FabricNode[];
}

const HUB = 'hub';
const BRIDGE = 'bridge';
/** A node's only link besides those of its pods. */
const UPLINK = 'uplink';

export class Fabric {
  private readonly plan: FabricPlan;
  private readonly prefix: string;

  constructor(plan: FabricPlan) {
    this.plan = plan;
    this.prefix = `mainstay-${plan.id}-`;
  }

  /** Makes what is not there, and leaves alone what is. Rejects with RuntimeError when the machine does not allow it. */
  async ensure(): Promise<void> {
    await this.ensureHub();
    await Promise.all(this.plan.nodes.map((node) => this.ensureNode(node)));
  }

  /** Ends every process in the namespaces, and removes them. */
  async remove(): Promise<void> {
    await Promise.all(namespacesWith(this.prefix).map(removeNamespace));
  }

  /** Command that runs what follows it where the control plane runs; nothing when the namespace is not there. */
  get hubCommand(): readonly string[] {
    return this.command(HUB);
  }

  /** As `hubCommand`, for a node. */
  nodeCommand(nodeName: string): readonly string[] {
    return this.command(nodeName);
  }

  private command(name: string): readonly string[] {
    const namespace = this.namespaceOf(name);
    return isNamespace(namespace) ? enterCommand(namespace) : [];
  }

  private namespaceOf(name: string): string {
    return `${this.prefix}${name}`;
  }

  private async ensureHub(): Promise<void> {
    const { address, prefixLength } = this.plan;
    const hub = this.namespaceOf(HUB);
    await ensureNamespace(hub);
    await enableForwarding(hub);
    if (!(await hasLink(hub, BRIDGE))) await configure(hub, [`link add ${BRIDGE} type bridge`]);
    await configure(hub, [
      'link set lo up',
      `address replace ${address}/${prefixLength} dev ${BRIDGE}`,
      `link set ${BRIDGE} up`,
      ...this.routes(),
    ]);
  }

  private async ensureNode(node: FabricNode): Promise<void> {
    const { address, prefixLength } = this.plan;
    const hub = this.namespaceOf(HUB);
    const namespace = this.namespaceOf(node.name);
    await ensureNamespace(namespace);
    await enableForwarding(namespace);
    if (!(await hasLink(namespace, UPLINK))) {
      const peer = `peer name ${UPLINK} netns ${namespace}`;
      await configure(hub, [`link add ${node.name} type veth ${peer}`]);
    }
    await configure(hub, [`link set ${node.name} master ${BRIDGE} up`]);
    await configure(namespace, [
      'link set lo up',
      `address replace ${node.address}/${prefixLength} dev ${UPLINK}`,
      `link set ${UPLINK} up`,
      `route replace default via ${address}`,
      // Each pod has a route of its own; what is left has nobody, and must not circle by the hub.
      `route replace unreachable ${node.podCidr}`,
      ...this.routes(node),
    ]);
  }

  /** To the pods of all nodes but `own`, which has routes to its own pods one by one. */
  private routes(own?: FabricNode): string[] {
    return this.plan.nodes
      .filter((node) => node !== own)
      .map((node) => `route replace ${node.podCidr} via ${node.address}`);
  }
}
