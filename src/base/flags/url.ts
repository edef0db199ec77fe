import { isIP } from 'node:net';

const MAX_PORT = 65_535;

/** An address given in a URL flag. */
export interface ServerUrl {
  /** As given, without surrounding blanks. */
  readonly text: string;
  readonly scheme: 'http' | 'https' | 'unix' | 'unixs';
  /** Without brackets for IPv6; empty means every address. For unix schemes the socket's path. */
  readonly host: string;
  /** 0 for unix schemes. */
  readonly port: number;
}

/**
 * Parses a comma-separated list of URLs.
 *
 * Order:  by text, as etcd keeps them.
 * Throws: Error with a text that quotes the offending URL.
 */
export function parseUrlList(text: string): ServerUrl[] {
  const urls: ServerUrl[] = [];
  for (const part of text.split(',')) urls.push(parseServerUrl(part.trim()));
  return urls.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
}

/**
 * Parses one URL: scheme, host, port, nothing more.
 *
 * Throws: Error with a text that quotes the URL.
 */
export function parseServerUrl(text: string): ServerUrl {
  const match = /^([a-zA-Z][a-zA-Z0-9+.-]*):(?:\/\/)?(.*)$/s.exec(text);
  const scheme = match?.[1]?.toLowerCase();
  const rest = match?.[2] ?? '';
  if (scheme !== 'http' && scheme !== 'https' && scheme !== 'unix' && scheme !== 'unixs') {
    throw new Error(`URL scheme must be http, https, unix, or unixs: ${text}`);
  }
  if (scheme === 'unix' || scheme === 'unixs') {
    // etcd names sockets as unix://path:0 in places where a port is demanded.
    const path = rest.replace(/:0$/, '');
    if (path === '') throw new Error(`URL must name a socket: ${text}`);
    return { text, scheme, host: path, port: 0 };
  }
  if (/[/?#]/.test(rest)) throw new Error(`URL must not contain a path: ${text}`);
  const parts = /^(?:\[([0-9a-fA-F:.%a-z]*)\]|([^:[\]@]*)):(\d+)$/.exec(rest);
  if (parts === null) throw new Error(`URL address does not have the form "host:port": ${text}`);
  const port = Number(parts[3]);
  if (port > MAX_PORT) throw new Error(`URL port must be from 0 to ${MAX_PORT}: ${text}`);
  return { text, scheme, host: parts[1] ?? parts[2] ?? '', port };
}

/** Whether `host` can be listened on without a name lookup. */
export function isBindable(host: string): boolean {
  return host === '' || host === 'localhost' || isIP(host.split('%')[0] ?? '') !== 0;
}

/** The form in which two spellings of one URL are equal: lower-case scheme and host. */
export function normalUrl(url: ServerUrl): string {
  if (url.scheme === 'unix' || url.scheme === 'unixs') return `${url.scheme}://${url.host}`;
  const host = url.host.includes(':') ? `[${url.host}]` : url.host;
  return `${url.scheme}://${host.toLowerCase()}:${url.port}`;
}
