import { isIP } from 'node:net';

/** As resolvers do: further servers are never asked. */
const MAX_SERVERS = 3;

/** Servers that a resolv.conf(5) names, in its order; lines without an address are left out. */
export function nameserversOf(text: string): string[] {
  const servers = text.split('\n').flatMap((line) => {
    const [keyword, server = ''] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && isIP(server.replace(/%.*/, '')) !== 0 ? [server] : [];
  });
  return servers.slice(0, MAX_SERVERS);
}
