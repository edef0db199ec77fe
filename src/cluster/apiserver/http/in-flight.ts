/**
 * Limit of requests worked on at a time. One that finds no room is told to come back, so that a
 * flood makes answers rare and not slow (k8s.io/apiserver, WithMaxInFlightLimit). Requests that run
 * for long do not count, and cluster administrators are never sent away.
 */
import type { RenderedAnswer } from './rendered.js';

export interface InFlightLimits {
  readonly maxReads: number;
  readonly maxMutations: number;
}

export const DEFAULT_IN_FLIGHT: InFlightLimits = { maxReads: 400, maxMutations: 200 };

const READ_VERBS: ReadonlySet<string> = new Set(['get', 'list', 'watch', 'head', 'options']);

export type InFlightClass = 'readOnly' | 'mutating';

export class InFlight {
  readonly counts: Record<InFlightClass, number> = { readOnly: 0, mutating: 0 };
  private readonly limits: Record<InFlightClass, number>;

  constructor({ maxReads, maxMutations }: InFlightLimits) {
    this.limits = { readOnly: maxReads, mutating: maxMutations };
  }

  /** Undefined when there is no room; otherwise the class that `end` takes back. */
  begin(verb: string, isAdmin: boolean): InFlightClass | undefined {
    const kind = READ_VERBS.has(verb) ? 'readOnly' : 'mutating';
    if (!isAdmin && this.counts[kind] >= this.limits[kind]) return undefined;
    this.counts[kind]++;
    return kind;
  }

  end(kind: InFlightClass): void {
    this.counts[kind]--;
  }
}

/** Clients of Kubernetes wait for as long as Retry-After says, and ask again. */
export function tooManyRequests(): RenderedAnswer {
  return {
    status: 429,
    headers: {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'retry-after': '1',
    },
    body: new TextEncoder().encode('Too many requests, please try again later.\n'),
  };
}
