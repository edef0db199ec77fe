import type { Logger } from '../../base/observe/logger.js';
import type { ClusterEnv } from '../env.js';
import { NftSink } from './nftables/nft-sink.js';
import { NftTable } from './nftables/table.js';
import type { RuleSink } from './rule-sink.js';
import { UserspaceSink } from './userspace/userspace-sink.js';

const TABLE = 'mainstay-proxy';
const PROBE_TABLE = 'mainstay-probe';

export interface SinkSetup {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly nodeIp: string;
}

/** Tries what works on this machine, says so in one line of the log, and returns it. */
export async function openSink({ env, log, nodeIp }: SinkSetup): Promise<RuleSink> {
  const isRoot = process.geteuid?.() === 0;
  const why = isRoot ? await whyNoNftables(env) : 'this process is not root';
  if (why === undefined) {
    log.info('services are led to their endpoints by nftables', { table: TABLE });
    return new NftSink(new NftTable(env, TABLE), log);
  }
  const serves = isRoot
    ? 'node ports, and cluster IPs on the loopback link of this node'
    : 'node ports only: cluster IPs do not work';
  log.warn(`services are led to their endpoints by forwarders of this process: ${serves}`, { why });
  return new UserspaceSink({ env, log, nodeIp, canAddAddresses: isRoot });
}

/** Builds the rules without services in a table of its own, and removes it. */
async function whyNoNftables(env: ClusterEnv): Promise<string | undefined> {
  const probe = new NftTable(env, PROBE_TABLE);
  try {
    await probe.apply(new Map());
    await probe.remove();
    return undefined;
  } catch (error) {
    return String(error);
  }
}
