/**
 * The HTTP side of a member: what its client, metrics and peer ports answer to requests that are not gRPC.
 * Each function returns a listener for a node:http server. Statuses, bodies and headers are etcd's.
 */
import type { RequestListener } from 'node:http';
import { gzip } from 'node:zlib';
import { ETCD_VERSION } from '../../base/flags/version.js';
import { acceptsGzip, allowOnly, send, sendPlain } from '../../base/net/respond.js';
import { router, type HttpHandler } from '../../base/net/router.js';
import { EXPOSITION_TYPE } from '../../base/observe/exposition.js';
import type { RootLogger } from '../../base/observe/logger.js';
import type { RaftStatus } from '../../raft/types.js';
import { idText } from '../../base/bytes/id-text.js';
import type { MemberMetrics } from '../metrics/metrics.js';
import { admit, type AccessRules } from './access.js';
import { healthHandler, probeRoutes, type HealthFacts } from './health.js';
import { logLevelHandler } from './log-level.js';
import { variablesHandler } from './variables.js';

/** A member as its peers' /members shows it. */
export interface HttpMember {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface ClusterFacts {
  readonly clusterId: bigint;
  /** Undefined until the cluster has decided on one. */
  readonly clusterVersion: string | undefined;
  /** In ascending order of id. */
  readonly members: readonly HttpMember[];
  raftStatus(): RaftStatus;
}

export interface MonitoringParts {
  readonly health: HealthFacts;
  readonly metrics: MemberMetrics;
  /** The text of one scrape. */
  readonly page: { text(): Promise<string> };
  readonly log: RootLogger;
}

/** For the ports of --listen-client-urls. */
export function clientListener(
  parts: MonitoringParts,
  cluster: ClusterFacts,
  rules: AccessRules,
): RequestListener {
  const serve = router(
    new Map([
      ...monitoringRoutes(parts),
      ['/version', versionHandler(cluster)],
      ['/debug/vars', variablesHandler(() => cluster.raftStatus())],
      ['/config/local/log', logLevelHandler(parts.log)],
    ]),
  );
  return (request, response) => {
    if (admit(rules, request, response)) serve(request, response);
  };
}

/** For the ports of --listen-metrics-urls. */
export function metricsListener(parts: MonitoringParts): RequestListener {
  return router(new Map(monitoringRoutes(parts)));
}

/** For the ports of --listen-peer-urls. */
export function peerListener(cluster: ClusterFacts): RequestListener {
  return router(
    new Map([
      ['/version', versionHandler(cluster)],
      ['/members', membersHandler(cluster)],
    ]),
  );
}

function monitoringRoutes(parts: MonitoringParts): [string, HttpHandler][] {
  const { health, metrics, log } = parts;
  return [
    ['/metrics', metricsHandler(parts)],
    ['/health', healthHandler(health, metrics, log)],
    ...probeRoutes('livez', health, metrics, log),
    ...probeRoutes('readyz', health, metrics, log),
  ];
}

function metricsHandler({ page, metrics: { scrapes } }: MonitoringParts): HttpHandler {
  return (request, response) => {
    scrapes.inFlight++;
    const finish = (error: Error | null, body: string | Uint8Array): void => {
      scrapes.inFlight--;
      if (error === null) {
        scrapes.ok++;
        return send(response, 200, EXPOSITION_TYPE, body);
      }
      scrapes.failed++;
      sendPlain(response, 500, `the metrics cannot be read: ${error.message}\n`);
    };
    page.text().then(
      (text) => {
        const { 'accept-encoding': accepted } = request.headers;
        if (!acceptsGzip(typeof accepted === 'string' ? accepted : '')) return finish(null, text);
        gzip(text, (error, packed) => {
          if (error === null) response.setHeader('Content-Encoding', 'gzip');
          finish(error, packed);
        });
      },
      (error: unknown) => finish(error instanceof Error ? error : new Error(String(error)), ''),
    );
  };
}

function versionHandler(cluster: ClusterFacts): HttpHandler {
  return (request, response) => {
    if (!allowOnly('GET', request, response)) return;
    const { clusterVersion } = cluster;
    const versions = {
      etcdserver: ETCD_VERSION,
      etcdcluster: clusterVersion ?? 'not_decided',
      ...(clusterVersion === undefined ? {} : { storage: clusterVersion }),
    };
    send(response, 200, 'application/json', JSON.stringify(versions));
  };
}

function membersHandler(cluster: ClusterFacts): HttpHandler {
  return (request, response) => {
    if (!allowOnly('GET', request, response)) return;
    response.setHeader('X-Etcd-Cluster-Id', idText(cluster.clusterId));
    const list = cluster.members.map(memberJson).join(',');
    send(response, 200, 'application/json', `[${list}]\n`);
  };
}

/** Written by hand because the id is a number of 64 bits, which JSON.stringify cannot write. */
function memberJson(member: HttpMember): string {
  let json = `{"id":${member.id},"peerURLs":${JSON.stringify(member.peerUrls)}`;
  if (member.isLearner) json += ',"isLearner":true';
  if (member.name !== '') json += `,"name":${JSON.stringify(member.name)}`;
  if (member.clientUrls.length > 0) json += `,"clientURLs":${JSON.stringify(member.clientUrls)}`;
  return `${json}}`;
}
