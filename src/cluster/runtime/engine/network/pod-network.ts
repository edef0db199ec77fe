/**
 * The network of a pod: a pair of virtual links between its network namespace and the node's. The pod has one address (/32) and a default route to a neighbour that stands for
 * the node; the node has a route to the pod. There is no bridge, so every packet is routed and
 * meets the node's packet rules.
 */
import { mustRun, run } from '../../command.js';
import type { Logger } from '../../../../base/observe/logger.js';
import { macOf } from './addresses.js';

/** Link-local, never routed: stands for the node in every pod's routes. */
const GATEWAY = '169.254.1.1';
/** Of the node's end of every pair: they never meet on one wire. */
const NODE_MAC = 'ee:ee:ee:ee:ee:ee';
const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
/** Names of links have at most 15 characters. */
const LINK_ID_LENGTH = 11;

export class PodNetwork {
  private readonly namespace: string | undefined;
  private readonly log: Logger;

  /** `namespace` is the file of the node's network namespace; undefined: the one this process is in. */
  constructor(namespace: string | undefined, log: Logger) {
    this.namespace = namespace;
    this.log = log;
  }

  /** Lets the node forward packets. Returns an explanation when it does not. */
  async enableForwarding(): Promise<string | undefined> {
    const command = `[ "$(cat ${FORWARDING})" = 1 ] || echo 1 > ${FORWARDING}`;
    const { exitCode, stderr } = await run(...this.inNode('sh', ['-c', command]));
    return exitCode === 0 ? undefined : `cannot enable IPv4 forwarding: ${stderr.trim()}`;
  }

  /** Commands of `ip -batch` to be run inside a pod's new network namespace. */
  podSide(sandboxId: string, address: string): string[] {
    const own = `link add eth0 address ${macOf(address)} type veth`;
    // Without a file, our own process number names the node's namespace.
    const node = this.namespace ?? String(process.pid);
    return [
      'link set lo up',
      `${own} peer name ${nodeLinkOf(sandboxId)} address ${NODE_MAC} netns ${node}`,
      `address add ${address}/32 dev eth0`,
      'link set eth0 up',
      `route add ${GATEWAY} dev eth0 scope link`,
      `route add default via ${GATEWAY} dev eth0`,
      `neigh replace ${GATEWAY} lladdr ${NODE_MAC} dev eth0 nud permanent`,
    ];
  }

  /** Brings up the node's end. Rejects with RuntimeError Internal. */
  async connect(sandboxId: string, address: string): Promise<void> {
    const link = nodeLinkOf(sandboxId);
    const commands = [
      `link set ${link} up`,
      `route replace ${address}/32 dev ${link} scope link`,
      `neigh replace ${address} lladdr ${macOf(address)} dev ${link} nud permanent`,
      '',
    ];
    await mustRun(...this.inNode('ip', ['-batch', '-']), { input: commands.join('\n') });
  }

  /** Removes the pair; harmless when it is gone. */
  async disconnect(sandboxId: string): Promise<void> {
    const link = nodeLinkOf(sandboxId);
    const result = await run(...this.inNode('ip', ['link', 'delete', link]));
    if (result.exitCode === 0 || result.stderr.includes('Cannot find device')) return;
    this.log.warn('link of a pod was not removed', { link, error: result.stderr.trim() });
  }

  private inNode(program: string, args: string[]): [string, string[]] {
    if (this.namespace === undefined) return [program, args];
    return ['nsenter', [`--net=${this.namespace}`, program, ...args]];
  }
}

/** Name of the node's end. */
function nodeLinkOf(sandboxId: string): string {
  return `veth${sandboxId.slice(0, LINK_ID_LENGTH)}`;
}
