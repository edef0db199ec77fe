/**
 * /health, /livez and /readyz: may this member be sent traffic, must it be restarted? They answer from the
 * member's state through HealthFacts and know nothing else of it.
 */
import type { MemberMetrics } from '../metrics/metrics.js';
import { allowGetOnly, sendNotFound, sendPlain, sendText } from '../../base/net/respond.js';
import type { HttpHandler } from '../../base/net/respond.js';

/** What the checks need to know about a member. */
export interface HealthFacts {
  readonly hasLeader: boolean;
  readonly isLearner: boolean;
  /** Names of the raised alarms (NOSPACE, CORRUPT), of any member. */
  readonly alarms: readonly string[];
  /** Reads one key, linearizable or locally; `done` gets the error of the read. Answers in bounded time. */
  read(isLinearizable: boolean, done: (error: Error | null) => void): void;
}

/** The handler of /health. */
export function healthHandler(facts: HealthFacts, metrics: MemberMetrics): HttpHandler {
  return (request, response, url) => {
    if (!allowGetOnly(request, response)) return;
    const isSerializable = url.searchParams.get('serializable') === 'true';
    const excluded = new Set(url.searchParams.getAll('exclude'));
    checkHealth(facts, excluded, isSerializable, (reason) => {
      if (reason === '') metrics.healthSuccesses++;
      else metrics.healthFailures++;
      const body = JSON.stringify({ health: String(reason === ''), reason });
      if (reason === '') sendText(response, 200, body);
      else sendPlain(response, 503, `${body}\n`);
    });
  };
}

/** `done` gets an empty text, or the reason why the member is not healthy. */
function checkHealth(
  facts: HealthFacts,
  excluded: ReadonlySet<string>,
  isSerializable: boolean,
  done: (reason: string) => void,
): void {
  for (const alarm of facts.alarms) {
    if (!excluded.has(alarm)) return done(`ALARM ${alarm}`);
  }
  if (!isSerializable && !facts.hasLeader) return done('RAFT NO LEADER');
  facts.read(!isSerializable, (error) => {
    done(error === null ? '' : `RANGE ERROR:${error.message}`);
  });
}

type Check = (facts: HealthFacts, done: (error: Error | null) => void) => void;

const serializableRead: Check = (facts, done) => facts.read(false, done);
const linearizableRead: Check = (facts, done) => facts.read(true, done);
const dataCorruption: Check = (facts, done) =>
  done(facts.alarms.includes('CORRUPT') ? new Error('alarm activated: CORRUPT') : null);
const nonLearner: Check = (facts, done) =>
  done(facts.isLearner ? new Error('not supported for learner') : null);

const CHECKS = {
  livez: { serializable_read: serializableRead },
  readyz: {
    data_corruption: dataCorruption,
    serializable_read: serializableRead,
    linearizable_read: linearizableRead,
    non_learner: nonLearner,
  },
} as const satisfies Record<string, Record<string, Check>>;

/** The handler of /livez or /readyz and the paths below it, one per check. */
export function probeHandler(
  probe: 'livez' | 'readyz',
  facts: HealthFacts,
  metrics: MemberMetrics,
): HttpHandler {
  const checks = new Map<string, Check>(Object.entries(CHECKS[probe]));
  return (request, response, url) => {
    const only = url.pathname.slice(probe.length + 2);
    if (only !== '' && !checks.has(only)) return sendNotFound(response);
    if (!allowGetOnly(request, response)) return;
    const excluded = new Set(url.searchParams.getAll('exclude'));
    const names = [...checks.keys()].filter((name) =>
      only === '' ? !excluded.has(name) : name === only,
    );
    runChecks(names, checks, facts, (errors) => {
      let lines = '';
      for (const [i, name] of names.entries()) {
        const error = errors[i] ?? null;
        metrics.healthCheck(probe, name, error === null);
        lines += error === null ? `[+]${name} ok\n` : `[-]${name} failed: ${error.message}\n`;
      }
      if (errors.some((error) => error !== null)) return sendPlain(response, 503, `${lines}\n`);
      sendPlain(response, 200, url.searchParams.has('verbose') ? `${lines}ok\n` : 'ok\n');
    });
  };
}

/** Runs the checks at the same time; `done` gets their results in the order of `names`. */
function runChecks(
  names: readonly string[],
  checks: ReadonlyMap<string, Check>,
  facts: HealthFacts,
  done: (errors: readonly (Error | null)[]) => void,
): void {
  const errors = names.map((): Error | null => null);
  let waiting = names.length;
  if (waiting === 0) return done(errors);
  names.forEach((name, i) => {
    checks.get(name)?.(facts, (error) => {
      errors[i] = error;
      if (--waiting === 0) done(errors);
    });
  });
}
