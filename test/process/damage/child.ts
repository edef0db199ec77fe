import type { Env } from '../../../src/base/env/env.js';
import { createNodeEnv } from '../../../src/base/env/node.js';
import type { Member } from '../../../src/server/member/member.js';
import { contentOf, linearizable, LocalCluster, stop } from './members.js';

/**
 * Starts members on damaged directories, one case after the other, and reports each outcome. A
 * process of its own, because LevelDB may end it.
 */

export interface CaseOrder {
  readonly id: number;
  readonly dirs: readonly string[];
  /** The one of them that is damaged. */
  readonly damaged: number;
  readonly content: string;
  readonly historyHash: string;
}

export interface CaseOutcome {
  readonly id: number;
  /**
   * `equal`: the content is the truth. `refused`: the member does not start or stops, with a finding. `silent`: the
   * content is another one. `unclear`: an error that is no finding. `stuck`: nothing happens.
   */
  readonly kind: 'equal' | 'refused' | 'silent' | 'unclear' | 'stuck';
  readonly text: string;
}

/** End of a case. `aborted`: the process ended by itself, which nothing may bring about. */
export type Outcome = Omit<CaseOutcome, 'id' | 'kind'> & {
  readonly kind: CaseOutcome['kind'] | 'aborted';
};

const DEADLINE_MS = 20_000;
/** Errors that name what was found and have a next step. */
const FINDINGS = new Set(['StartupError', 'Stopped']);
/** The last resort of a start-up error: its next step does not concern damage. */
const UNCLEAR_TEXT = /cannot be used: /;

/** The stop of the process, for one case. */
class Stopped extends Error {
  override name = 'Stopped';
  readonly order: CaseOrder;

  constructor(order: CaseOrder, what: string, next: string) {
    super(next === '' ? `without a next step: ${what}` : what);
    this.order = order;
  }
}

let current: CaseOrder | undefined;
let onStopped: (error: unknown) => void = () => undefined;

process.on('uncaughtException', (error) => {
  if (!(error instanceof Stopped) || error.order === current) onStopped(error);
});

/** The real environment; a process that stopped does nothing any more. */
function envOf(order: CaseOrder): Env {
  const real = createNodeEnv();
  let isStopped = false;
  const guarded = (callback: () => void) => (): void => {
    if (!isStopped && current === order) callback();
  };
  return {
    ...real,
    after: (delayMs, callback) => real.after(delayMs, guarded(callback)),
    defer: (callback) => real.defer(guarded(callback)),
    fatal: (what, next): never => {
      isStopped = true;
      throw new Stopped(order, what, next);
    },
  };
}

async function run(order: CaseOrder): Promise<Omit<CaseOutcome, 'id'>> {
  const cluster = new LocalCluster({
    size: order.dirs.length,
    dataDir: (i) => order.dirs[i] as string,
    env: () => envOf(order),
  });
  const opened: Member[] = [];
  const others = order.dirs.map((_, i) => i).filter((i) => i !== order.damaged);
  for (const i of others) opened.push(await cluster.open(i));
  let outcome: Omit<CaseOutcome, 'id'>;
  try {
    outcome = await attempt(cluster, order, opened);
  } catch (error) {
    outcome = refusal(error);
  }
  for (const member of opened) if (outcome.kind !== 'stuck') await stop(member);
  return outcome;
}

async function attempt(
  cluster: LocalCluster,
  order: CaseOrder,
  opened: Member[],
): Promise<Omit<CaseOutcome, 'id'>> {
  const stopped = new Promise<never>((_resolve, reject) => (onStopped = reject));
  const deadline = new Promise<'stuck'>((resolve) =>
    setTimeout(() => resolve('stuck'), DEADLINE_MS).unref(),
  );
  const read = async (): Promise<string> => {
    const member = await cluster.open(order.damaged);
    opened.push(member);
    // A member of several has caught up when it serves a linearizable read.
    for (;;) {
      try {
        await linearizable(member);
        return await contentOf(member);
      } catch (error) {
        // No leader yet.
        if (!(error instanceof Error) || !/leader|timed out/.test(error.message)) throw error;
      }
    }
  };
  const content = await Promise.race([read(), stopped, deadline]);
  if (content === 'stuck') return { kind: 'stuck', text: '' };
  if (content === order.content) return { kind: 'equal', text: '' };
  return { kind: 'silent', text: `${content} where ${order.content} was written` };
}

function refusal(error: unknown): Omit<CaseOutcome, 'id'> {
  if (!(error instanceof Error)) return { kind: 'unclear', text: String(error) };
  const isFinding = FINDINGS.has(error.name) && !UNCLEAR_TEXT.test(error.message);
  const isClear = isFinding && !error.message.startsWith('without a next step');
  return isClear
    ? { kind: 'refused', text: error.message }
    : { kind: 'unclear', text: error.stack ?? error.message };
}

process.on('message', (order: CaseOrder) => {
  current = order;
  void run(order)
    .catch((error: unknown) => ({ kind: 'unclear' as const, text: String(error) }))
    .then((outcome) => {
      current = undefined;
      process.send?.({ id: order.id, ...outcome } satisfies CaseOutcome);
    });
});
