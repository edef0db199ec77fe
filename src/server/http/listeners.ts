/**
 * The HTTP side of a member: what its client, metrics and peer ports answer to requests that are not gRPC.
 * Each function returns a listener for a node:http server. Statuses, bodies and headers are etcd's.
 */
import type { RequestListener } from 'node:http';
import { ETCD_VERSION } from '../../base/flags/version.js';
import { idText } from '../config/ids.js';
import type { MetricsPage } from '../metrics/page.js';
import type { MemberMetrics } from '../metrics/metrics.js';
import { admit } from './access.js';
import type { AccessRules } from './access.js';
import { healthHandler, probeHandler } from './health.js';
import type { HealthFacts } from './health.js';
import { allowGetOnly, requestUrl, send, sendNotFound, sendPlain } from '../../base/net/respond.js';
import type { HttpHandler } from '../../base/net/respond.js';

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
}

export interface MonitoringParts {
  readonly health: HealthFacts;
  readonly metrics: MemberMetrics;
  readonly page: MetricsPage;
}

/** For the ports of --listen-client-urls. */
export function clientListener(
  parts: MonitoringParts,
  cluster: ClusterFacts,
  rules: AccessRules,
): RequestListener {
  const routes = monitoringRoutes(parts);
  routes.set('/version', versionHandler(cluster));
  routes.set('/debug/vars', variablesHandler);
  const serve = router(routes);
  return (request, response) => {
    if (admit(rules, request, response)) serve(request, response);
  };
}

/** For the ports of --listen-metrics-urls. */
export function metricsListener(parts: MonitoringParts): RequestListener {
  return router(monitoringRoutes(parts));
}

/** For the ports of --listen-peer-urls. */
export function peerListener(cluster: ClusterFacts): RequestListener {
  const routes = new Map<string, HttpHandler>();
  routes.set('/version', versionHandler(cluster));
  routes.set('/members', membersHandler(cluster));
  return router(routes);
}

function monitoringRoutes({ health, metrics, page }: MonitoringParts): Map<string, HttpHandler> {
  const routes = new Map<string, HttpHandler>();
  routes.set('/metrics', metricsHandler(page));
  routes.set('/health', healthHandler(health, metrics));
  routes.set('/livez', probeHandler('livez', health, metrics));
  routes.set('/readyz', probeHandler('readyz', health, metrics));
  return routes;
}

/** Serves a path by its own handler, and /livez/... and /readyz/... by the handler of their first part. */
function router(routes: ReadonlyMap<string, HttpHandler>): RequestListener {
  return (request, response) => {
    // The body of a request means nothing here; unread, it would keep the connection from its next request.
    request.resume();
    const url = requestUrl(request);
    if (url === undefined) return sendPlain(response, 400, '400 Bad Request\n');
    const first = /^\/(?:livez|readyz)(?=\/.)/.exec(url.pathname)?.[0] ?? url.pathname;
    const handler = routes.get(first);
    if (handler === undefined) sendNotFound(response);
    else handler(request, response, url);
  };
}

function metricsHandler(page: MetricsPage): HttpHandler {
  return (_request, response) => {
    page.text().then(
      (text) => send(response, 200, page.contentType, text),
      (error: unknown) => sendPlain(response, 500, `metrics cannot be read: ${String(error)}\n`),
    );
  };
}

function versionHandler(cluster: ClusterFacts): HttpHandler {
  return (request, response) => {
    if (!allowGetOnly(request, response)) return;
    const { clusterVersion } = cluster;
    const versions = {
      etcdserver: ETCD_VERSION,
      etcdcluster: clusterVersion ?? 'not_decided',
      ...(clusterVersion === undefined ? {} : { storage: clusterVersion }),
    };
    send(response, 200, 'application/json', JSON.stringify(versions));
  };
}

const variablesHandler: HttpHandler = (_request, response) => {
  const variables = { memory: process.memoryUsage(), uptimeSeconds: process.uptime() };
  send(response, 200, 'application/json; charset=utf-8', `${JSON.stringify(variables, null, 1)}\n`);
};

function membersHandler(cluster: ClusterFacts): HttpHandler {
  return (request, response) => {
    if (!allowGetOnly(request, response)) return;
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
