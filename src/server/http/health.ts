/**
 * /health, /livez and /readyz: whether this member may be sent traffic, and whether it must be restarted. The handlers
 * read the member's state through HealthFacts and nothing else of it. Statuses, bodies and log lines are those of
 * etcd's server/etcdserver/api/etcdhttp/health.go.
 */
import type { MemberMetrics } from '../metrics/metrics.js';
import { allowOnly, sendPlain, sendText } from '../../base/net/respond.js';
import type { HttpHandler } from '../../base/net/router.js';
import type { Logger } from '../../base/observe/logger.js';

/** A member as its health checks see it. */
export interface HealthFacts {
  readonly hasLeader: boolean;
  readonly isLearner: boolean;
  /** Names of the raised alarms (NOSPACE, CORRUPT), of any member. */
  readonly alarms: readonly string[];
  /** Reads one key, linearizable or locally; `done` gets the error of the read. Answers in bounded time. */
  read(isLinearizable: boolean, done: (error: Error | null) => void): void;
}

/** The handler of /health. Its log lines are etcd's. */
export function healthHandler(
  facts: HealthFacts,
  metrics: MemberMetrics,
  log: Logger,
): HttpHandler {
  return (request, response, { query }) => {
    if (!allowOnly('GET', request, response))
      return log.warn('/health error', { 'status-code': 405 });
    const isSerializable = query.get('serializable') === 'true';
    const excluded = new Set(query.getAll('exclude'));
    checkHealth(facts, excluded, isSerializable, log, (reason) => {
      const body = JSON.stringify({ health: String(reason === ''), reason });
      if (reason === '') {
        metrics.healthSuccesses++;
        log.debug('/health OK', { 'status-code': 200 });
        return sendText(response, 200, body);
      }
      metrics.healthFailures++;
      log.warn('/health error', { output: body, 'status-code': 503 });
      sendPlain(response, 503, `${body}\n`);
    });
  };
}

/** `done` gets an empty text, or the reason why the member is not healthy. */
function checkHealth(
  facts: HealthFacts,
  excluded: ReadonlySet<string>,
  isSerializable: boolean,
  log: Logger,
  done: (reason: string) => void,
): void {
  for (const alarm of facts.alarms) {
    if (excluded.has(alarm)) continue;
    log.warn('serving /health false due to an alarm', { alarm });
    return done(`ALARM ${alarm}`);
  }
  if (!isSerializable && !facts.hasLeader) {
    log.warn('serving /health false; no leader');
    return done('RAFT NO LEADER');
  }
  facts.read(!isSerializable, (error) => {
    if (error === null) return done('');
    log.warn('serving /health false; Range fails', { error });
    done(`RANGE ERROR:${error.message}`);
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

export type Probe = keyof typeof CHECKS;

/** The handlers of /livez or /readyz and of the paths below it, one per check. */
export function probeRoutes(
  probe: Probe,
  facts: HealthFacts,
  metrics: MemberMetrics,
  log: Logger,
): [string, HttpHandler][] {
  const checks = new Map<string, Check>(Object.entries(CHECKS[probe]));
  const names = [...checks.keys()];
  const handler =
    (path: string, chosen: (query: URLSearchParams) => readonly string[]): HttpHandler =>
    (request, response, { query }) => {
      if (!allowOnly('GET', request, response))
        return log.warn('Health request error', { path, 'status-code': 405 });
      const toRun = chosen(query);
      runChecks(toRun, checks, facts, (errors) => {
        let reason = '';
        for (const [i, name] of toRun.entries()) {
          const error = errors[i] ?? null;
          metrics.healthCheck(probe, name, error === null);
          reason += error === null ? `[+]${name} ok\n` : `[-]${name} failed: ${error.message}\n`;
        }
        if (errors.every((error) => error === null)) {
          log.debug('Health check OK', { path, reason, 'status-code': 200 });
          return sendPlain(response, 200, query.has('verbose') ? `${reason}ok\n` : 'ok\n');
        }
        log.error('Health check error', { path, reason, 'status-code': 503 });
        sendPlain(response, 503, `${reason}\n`);
      });
    };
  const all = handler(`/${probe}`, (query) => {
    const excluded = new Set(query.getAll('exclude').filter((name) => name !== ''));
    const unknown = [...excluded].filter((name) => !checks.has(name));
    if (unknown.length > 0) {
      const missing = unknown.map((name) => JSON.stringify(name)).join(',');
      log.warn('some health checks cannot be excluded', { 'missing-health-checks': missing });
    }
    return names.filter((name) => !excluded.has(name));
  });
  return [
    [`/${probe}`, all],
    ...names.map((name): [string, HttpHandler] => {
      const path = `/${probe}/${name}`;
      return [path, handler(path, () => [name])];
    }),
  ];
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
