import { lookup } from 'node:dns/promises';
import { bootstrapClusterId, bootstrapMemberId } from './ids.js';
import type { ServerConfig } from './server-config.js';
import { StartupError } from '../../base/flags/startup-error.js';
import { normalUrl, parseServerUrl } from '../../base/flags/url.js';

/** The members a new cluster starts with, in ascending order of id, and the ids that follow from them. */
export interface BootstrapCluster {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly members: readonly BootstrapMember[];
}

export interface BootstrapMember {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
}

/** Turns a host name into addresses. */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

const resolveByDns: ResolveHost = async (host) =>
  (await lookup(host, { all: true })).map((entry) => entry.address);

/**
 * Works out the cluster that a member without data forms, from its `initial-*` settings.
 *
 * Throws: StartupError when this member is not in the list as it describes itself, or when it should join a
 * running cluster.
 */
export async function bootstrapCluster(
  config: ServerConfig,
  resolveHost: ResolveHost = resolveByDns,
): Promise<BootstrapCluster> {
  const { state, token, members } = config.cluster;
  if (state === 'existing') {
    throw new StartupError(
      `joining a running cluster (--initial-cluster-state=existing) is not supported yet, and ${config.dataDir} holds no data of a member`,
      'point --data-dir at the existing data of this member, or form a new cluster with --initial-cluster-state=new',
    );
  }
  const own = members.find((member) => member.name === config.name);
  if (own === undefined) {
    throw new StartupError(
      `couldn't find local name "${config.name}" in the initial cluster configuration`,
      `use one of the names in --initial-cluster (${members.map((m) => m.name).join(', ')}) as --name, or add ${config.name}=<peer URL> to it`,
    );
  }
  if (!(await sameUrls(own.peerUrls, config.advertisePeerUrls, resolveHost))) {
    throw new StartupError(
      `--initial-cluster has ${named(config.name, own.peerUrls)} but --initial-advertise-peer-urls is ${config.advertisePeerUrls.join(',')}`,
      'make the two equal',
    );
  }
  const list: BootstrapMember[] = members.map(({ name, peerUrls }) => ({
    id: bootstrapMemberId(peerUrls, token),
    name,
    peerUrls,
  }));
  list.sort((a, b) => (a.id < b.id ? -1 : 1));
  return {
    clusterId: bootstrapClusterId(list.map((member) => member.id)),
    memberId: bootstrapMemberId(own.peerUrls, token),
    members: list,
  };
}

function named(name: string, urls: readonly string[]): string {
  return urls.map((url) => `${name}=${url}`).join(',');
}

async function sameUrls(
  a: readonly string[],
  b: readonly string[],
  resolveHost: ResolveHost,
): Promise<boolean> {
  const normal = (urls: readonly string[]): string[] =>
    urls.map((url) => normalUrl(parseServerUrl(url))).sort();
  if (normal(a).join() === normal(b).join()) return true;
  // Names are looked up only when the texts differ, so that a start does not depend on DNS without need.
  const [left, right] = await Promise.all([resolved(a, resolveHost), resolved(b, resolveHost)]);
  return left.join() === right.join();
}

async function resolved(urls: readonly string[], resolveHost: ResolveHost): Promise<string[]> {
  const result: string[] = [];
  for (const text of urls) {
    const url = parseServerUrl(text);
    let host = url.host;
    if (url.port !== 0) {
      try {
        host = [...(await resolveHost(url.host))].sort()[0] ?? url.host;
      } catch (cause) {
        throw new StartupError(
          `the host name of ${text} cannot be resolved`,
          'correct the name in --initial-cluster or --initial-advertise-peer-urls, or see to its DNS entry',
          { cause },
        );
      }
    }
    result.push(normalUrl({ ...url, host }));
  }
  return result.sort();
}
