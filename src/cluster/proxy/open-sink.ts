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
  /** False: packet rules and addresses here are not ours to change. */
  readonly ownsNetwork: boolean;
}

/** Tries what works on this machine, says so in one line of the log, and returns it. */
export async function openSink(setup: SinkSetup): Promise<RuleSink> {
  const { env, log, nodeIp } = setup;
  const why = await whyNoRules(setup);
  if (why === undefined) {
    log.info('services are led to their endpoints by nftables', { table: TABLE });
    return new NftSink(new NftTable(env, TABLE), log);
  }
  const canAddAddresses = setup.ownsNetwork && isRoot();
  const serves = canAddAddresses
    ? 'node ports, and cluster IPs on the loopback link of this node'
    : 'node ports only: cluster IPs do not work';
  log.warn(`services are led to their endpoints by forwarders of this process: ${serves}`, { why });
  return new UserspaceSink({ env, log, nodeIp, canAddAddresses });
}

async function whyNoRules({ env, ownsNetwork }: SinkSetup): Promise<string | undefined> {
  if (!ownsNetwork) return "this network is the machine's own";
  return isRoot() ? whyNoNftables(env) : 'this process is not root';
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
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
