/** The API server as a client of kubelets: where a node's is, and how it is asked. */
import { request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Node } from '../../../gen/kube-core-v1.js';
import { internalError } from '../../api/status.js';

/** All in PEM. */
export interface KubeletTls {
  /** The API server's own, as a client. */
  readonly key: string;
  readonly cert: string;
  /** Authority of the kubelets' certificates. */
  readonly ca: string;
}

/** Kinds of addresses, the best first: those that need no name to be resolved. */
const ADDRESS_TYPES = ['InternalIP', 'InternalDNS', 'Hostname', 'ExternalIP', 'ExternalDNS'];

const DEFAULT_PORT = 10250;

export interface KubeletAddress {
  readonly host: string;
  readonly port: number;
}

/** Throws: ApiError 500 when the node has not told an address. */
export function kubeletAddress({ status }: Node): KubeletAddress {
  const addresses = status?.addresses ?? [];
  for (const wanted of ADDRESS_TYPES) {
    const found = addresses.find(({ type }) => type === wanted);
    if (found === undefined) continue;
    const port = status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
    return { host: found.address, port: port === 0 ? DEFAULT_PORT : port };
  }
  throw internalError(`no preferred addresses found; known addresses: []`);
}

/** The URL as errors show it. `path` begins with a slash. */
export function kubeletUrl({ host, port }: KubeletAddress, path: string): string {
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}${path}`;
}

/** Begins a request; its answer or upgrade comes as the request's events. */
export function askKubelet(
  address: KubeletAddress,
  tls: KubeletTls,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): ClientRequest {
  return httpsRequest({
    ...address,
    ...tls,
    method,
    path,
    headers,
    // A connection of its own: what runs on it lasts long, and ends with it.
    agent: false,
  });
}

/** Failure of a connection in the words of Go's net package, which people search for. */
export function dialText({ host, port }: KubeletAddress, error: NodeJS.ErrnoException): string {
  const at = `dial tcp ${host}:${port}`;
  switch (error.code) {
    case 'ECONNREFUSED':
      return `${at}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `${at}: connect: no route to host`;
    case 'ENETUNREACH':
      return `${at}: connect: network is unreachable`;
    case 'ETIMEDOUT':
      return `${at}: i/o timeout`;
    case 'ENOTFOUND':
      return `dial tcp: lookup ${host}: no such host`;
    default:
      return error.message;
  }
}

/** The longest text of an error that is read from a kubelet. */
const MAX_ERROR_BYTES = 10 * 1024;

/** The body of an answer that tells an error. */
export async function errorText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > MAX_ERROR_BYTES) break;
  }
  return Buffer.concat(chunks).subarray(0, MAX_ERROR_BYTES).toString();
}
