import { randomFraction, type ClusterEnv } from '../../env.js';
import type { Target } from '../service-table.js';

/** Clients whose endpoint is remembered, a port. */
const MAX_CLIENTS = 10_000;

/** Chooses endpoints by chance; with affinity, each client keeps its own for a time. */
export class Chooser {
  private readonly env: ClusterEnv;
  /** Client -> its endpoint, least recently used first. */
  private readonly clients = new Map<
    string,
    { readonly target: Target; readonly usedMs: number }
  >();

  constructor(env: ClusterEnv) {
    this.env = env;
  }

  /** All targets, in the order in which they are to be tried. `affinitySeconds` 0: no affinity. */
  order(targets: readonly Target[], client: string, affinitySeconds: number): Target[] {
    const start = Math.floor(randomFraction(this.env) * targets.length);
    const rotated = [...targets.slice(start), ...targets.slice(0, start)];
    if (affinitySeconds === 0) return rotated;
    const known = this.clients.get(client);
    const isFresh =
      known !== undefined && this.env.monoMs() - known.usedMs < affinitySeconds * 1000;
    if (!isFresh) return rotated;
    const isKnown = ({ ip, port }: Target): boolean =>
      ip === known.target.ip && port === known.target.port;
    return [...rotated.filter(isKnown), ...rotated.filter((target) => !isKnown(target))];
  }

  /** The client was led to `target`. */
  remember(client: string, target: Target, affinitySeconds: number): void {
    if (affinitySeconds === 0) return;
    this.clients.delete(client);
    this.clients.set(client, { target, usedMs: this.env.monoMs() });
    const [oldest] = this.clients.keys();
    if (this.clients.size > MAX_CLIENTS && oldest !== undefined) this.clients.delete(oldest);
  }
}
