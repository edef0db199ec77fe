import { isIP } from 'node:net';

/** Longest path of a unix socket (unix(7): sun_path without its final zero). Node cuts longer ones without a word. */
const MAX_SOCKET_PATH_BYTES = 107;
const MAX_PORT = 65_535;

/** An address given in a URL flag. */
export interface ServerUrl {
  /** As given, without surrounding blanks. */
  readonly text: string;
  readonly scheme: 'http' | 'https' | 'unix' | 'unixs';
  /** Without brackets for IPv6; empty means every address. For unix schemes the path of the socket's file. */
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
    // The file's name is the text as it stands: unix://localhost:2380 is a file "localhost:2380", as in etcd.
    if (rest === '') throw new Error(`URL must name a socket: ${text}`);
    if (Buffer.byteLength(rest) > MAX_SOCKET_PATH_BYTES) {
      throw new Error(`URL names a socket of more than ${MAX_SOCKET_PATH_BYTES} bytes: ${text}`);
    }
    return { text, scheme, host: rest, port: 0 };
  }
  if (/[/?#]/.test(rest)) throw new Error(`URL must not contain a path: ${text}`);
  const parts = /^(?:\[([0-9a-fA-F:.%a-z]*)\]|([^:[\]@]*)):(\d+)$/.exec(rest);
  if (parts === null) throw new Error(`URL address does not have the form "host:port": ${text}`);
  const port = Number(parts[3]);
  if (port > MAX_PORT) throw new Error(`URL port must be from 0 to ${MAX_PORT}: ${text}`);
  return { text, scheme, host: parts[1] ?? parts[2] ?? '', port };
}

/** True if `host` can be listened on without a name lookup. */
export function isBindable(host: string): boolean {
  return host === '' || host === 'localhost' || isIP(host.split('%')[0] ?? '') !== 0;
}

/** The form in which two spellings of one URL are equal: lower-case scheme and host. */
export function normalUrl(url: ServerUrl): string {
  if (url.scheme === 'unix' || url.scheme === 'unixs') return `${url.scheme}://${url.host}`;
  const host = url.host.includes(':') ? `[${url.host}]` : url.host;
  return `${url.scheme}://${host.toLowerCase()}:${url.port}`;
}
