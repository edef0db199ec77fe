/**
 * The network of a pod: a pair of virtual links between its network namespace and the one this
 * process is in. The pod has one address (/32) and a default route to a neighbour that stands for
 * the node; the node has a route to the pod. There is no bridge, so every packet is routed and
 * meets the node's packet rules.
 */
import { readFileSync, writeFileSync } from 'node:fs';
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

/** Name of the node's end. */
export function nodeLinkOf(sandboxId: string): string {
  return `veth${sandboxId.slice(0, LINK_ID_LENGTH)}`;
}

/** Lets the node's network namespace forward packets. Returns an explanation when it does not. */
export function enableForwarding(): string | undefined {
  try {
    if (readFileSync(FORWARDING, 'utf8').trim() !== '1') writeFileSync(FORWARDING, '1');
    return undefined;
  } catch (error) {
    return `cannot enable IPv4 forwarding: ${String(error)}`;
  }
}

/**
 * Commands of `ip -batch` to be run inside a pod's new network namespace; `nodeNamespace` is a file
 * or process of the node's. Without an address the pod has the loopback link only.
 */
export function podSide(sandboxId: string, address: string): string[] {
  const own = `link add eth0 address ${macOf(address)} type veth`;
  return [
    'link set lo up',
    // `unshare` runs in place of the child we started, so our own process number names the node's side.
    `${own} peer name ${nodeLinkOf(sandboxId)} address ${NODE_MAC} netns ${process.pid}`,
    `address add ${address}/32 dev eth0`,
    'link set eth0 up',
    `route add ${GATEWAY} dev eth0 scope link`,
    `route add default via ${GATEWAY} dev eth0`,
    `neigh replace ${GATEWAY} lladdr ${NODE_MAC} dev eth0 nud permanent`,
  ];
}

/** Brings up the node's end. Rejects with RuntimeError Internal. */
export async function connectNodeSide(sandboxId: string, address: string): Promise<void> {
  const link = nodeLinkOf(sandboxId);
  const commands = [
    `link set ${link} up`,
    `route replace ${address}/32 dev ${link} scope link`,
    `neigh replace ${address} lladdr ${macOf(address)} dev ${link} nud permanent`,
    '',
  ];
  await mustRun('ip', ['-batch', '-'], { input: commands.join('\n') });
}

/** Removes the pair; harmless when it is gone. */
export async function disconnect(sandboxId: string, log: Logger): Promise<void> {
  const link = nodeLinkOf(sandboxId);
  const result = await run('ip', ['link', 'delete', link]);
  if (result.exitCode === 0 || result.stderr.includes('Cannot find device')) return;
  log.warn('link of a pod was not removed', { link, error: result.stderr.trim() });
}
