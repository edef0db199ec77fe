import { createServer, request } from 'node:http';
import { gunzipSync } from 'node:zlib';
import type { IncomingHttpHeaders, RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { loggerTo } from '../../../src/base/observe/logger.js';
import { allMethods } from '../../../src/gen/services.js';
import { Role, type RaftStatus } from '../../../src/raft/types.js';
import type { AccessRules } from '../../../src/server/http/access.js';
import type { HealthFacts } from '../../../src/server/http/health.js';
import {
  clientListener,
  metricsListener,
  peerListener,
} from '../../../src/server/http/listeners.js';
import type { ClusterFacts } from '../../../src/server/http/listeners.js';
import { LazyMetricsPage } from '../../../src/server/metrics/lazy-page.js';
import { MemberMetrics } from '../../../src/server/metrics/metrics.js';
import { memberSample } from '../../support/member-sample.js';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly bytes: Buffer;
}

/** The log of a member, as lines of its messages. */
class LogLines {
  readonly messages: Record<string, unknown>[] = [];
  readonly logger = loggerTo(
    [
      {
        write: (line) => void this.messages.push(JSON.parse(line) as Record<string, unknown>),
        writeSync: () => undefined,
        reopen: () => undefined,
        flushSync: () => undefined,
      },
    ],
    'info',
  );

  /** Messages without their time and the place in the code that logged them. */
  take(): Record<string, unknown>[] {
    return this.messages.splice(0).map(({ ts: _time, caller: _caller, ...rest }) => rest);
  }
}

const raftStatus = (): RaftStatus => ({
  id: 0xan,
  role: Role.leader,
  leader: 0xan,
  hardState: { term: 3, vote: 0xan, commit: 9 },
  applied: 8,
  stable: 9,
  lastIndex: 9,
  compactedIndex: 0,
  confState: { voters: [0xan, 0xbn], learners: [] },
  progress: new Map([
    [0xbn, { match: 7, next: 8, state: 'probe', recentActive: true, isLearner: false }],
  ]),
  transferee: 0n,
});

/** A member that a test can make ill. */
class Facts implements HealthFacts {
  hasLeader = true;
  isLearner = false;
  alarms: string[] = [];
  linearizableError: Error | null = null;
  serializableError: Error | null = null;

  read(isLinearizable: boolean, done: (error: Error | null) => void): void {
    const error = isLinearizable ? this.linearizableError : this.serializableError;
    setImmediate(() => done(error));
  }
}

const OPEN: AccessRules = { cors: ['*'], hostWhitelist: ['*'] };

describe('HTTP of a member', () => {
  let facts: Facts;
  let metrics: MemberMetrics;
  let cluster: { -readonly [K in keyof ClusterFacts]: ClusterFacts[K] };
  let server: Server;
  let log: LogLines;

  beforeEach(() => {
    log = new LogLines();
    facts = new Facts();
    metrics = new MemberMetrics({ methods: allMethods, isExtensive: false });
    cluster = {
      raftStatus,
      clusterId: 0xe6953f8d911446fan,
      clusterVersion: '3.6.0',
      members: [
        {
          id: 2051142733376812877n,
          name: 'default',
          peerUrls: ['http://127.0.0.1:1'],
          clientUrls: ['http://127.0.0.1:2'],
          isLearner: false,
        },
        {
          id: 3n,
          name: '',
          peerUrls: ['http://127.0.0.1:3'],
          clientUrls: [],
          isLearner: true,
        },
      ],
    };
  });
  afterEach((done) => {
    server.closeAllConnections();
    server.close(() => done());
  });

  async function listen(listener: RequestListener): Promise<void> {
    server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }

  const parts = (): Parameters<typeof metricsListener>[0] => ({
    health: facts,
    metrics,
    page: new LazyMetricsPage(metrics, memberSample),
    log: log.logger,
  });
  const listenClient = (rules = OPEN): Promise<void> =>
    listen(clientListener(parts(), cluster, rules));

  function ask(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    sent = '',
  ): Promise<Answer> {
    const { port } = server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      const call = request({ host: '127.0.0.1', port, method, path, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const { statusCode = 0, headers: answered } = response;
          resolve({ status: statusCode, headers: answered, body: bytes.toString('utf8'), bytes });
        });
      });
      call.on('error', reject);
      call.end(sent);
    });
  }
  const get = (path: string, headers?: Record<string, string>): Promise<Answer> =>
    ask('GET', path, headers);

  function expectPlain(answer: Answer, status: number, body: string): void {
    expect(answer.status).equal(status);
    expect(answer.body).equal(body);
    expect(answer.headers['content-type']).equal('text/plain; charset=utf-8');
    expect(answer.headers['x-content-type-options']).equal('nosniff');
  }

  describe('/health', () => {
    it('answers 200 when a read succeeds', async () => {
      await listenClient();
      const answer = await get('/health');
      expect(answer.status).equal(200);
      expect(answer.body).equal('{"health":"true","reason":""}');
      expect(answer.headers['content-type']).equal('text/plain; charset=utf-8');
      expect(answer.headers['x-content-type-options']).equal(undefined);
      expect(metrics.healthSuccesses).equal(1);
    });

    it('names alarms first, then the missing leader, then the failed read', async () => {
      await listenClient();
      facts.alarms = ['NOSPACE', 'CORRUPT'];
      facts.hasLeader = false;
      facts.linearizableError = new Error('etcdserver: request timed out');
      const unhealthy = (reason: string): string => `{"health":"false","reason":"${reason}"}\n`;
      expectPlain(await get('/health'), 503, unhealthy('ALARM NOSPACE'));
      expectPlain(await get('/health?exclude=NOSPACE'), 503, unhealthy('ALARM CORRUPT'));
      const path = '/health?exclude=NOSPACE&exclude=CORRUPT';
      expectPlain(await get(path), 503, unhealthy('RAFT NO LEADER'));
      facts.hasLeader = true;
      expectPlain(await get(path), 503, unhealthy('RANGE ERROR:etcdserver: request timed out'));
      expect(metrics.healthFailures).equal(4);
    });

    it('needs no leader for a serializable answer', async () => {
      await listenClient();
      facts.hasLeader = false;
      facts.linearizableError = new Error('no quorum');
      expect((await get('/health?serializable=true')).status).equal(200);
    });

    it('takes GET alone', async () => {
      await listenClient();
      const answer = await ask('POST', '/health');
      expectPlain(answer, 405, 'Method Not Allowed\n');
      expect(answer.headers.allow).equal('GET');
      expect((await ask('HEAD', '/health')).status).equal(405);
      expect((await get('/health/')).status).equal(404);
    });
  });

  describe('/livez and /readyz', () => {
    it('answer ok, and with every check when asked', async () => {
      await listenClient();
      expectPlain(await get('/livez'), 200, 'ok\n');
      expectPlain(await get('/livez?verbose'), 200, '[+]serializable_read ok\nok\n');
      expectPlain(
        await get('/readyz?verbose'),
        200,
        '[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n',
      );
      expectPlain(
        await get('/readyz?verbose&exclude=non_learner&exclude=unknown'),
        200,
        '[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\nok\n',
      );
      expectPlain(await get('/livez?verbose&exclude=serializable_read'), 200, 'ok\n');
    });

    it('name the failed check', async () => {
      await listenClient();
      facts.alarms = ['CORRUPT'];
      facts.isLearner = true;
      facts.linearizableError = new Error('etcdserver: request timed out');
      expectPlain(
        await get('/readyz'),
        503,
        '[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n' +
          '[-]linearizable_read failed: etcdserver: request timed out\n' +
          '[-]non_learner failed: not supported for learner\n\n',
      );
      expectPlain(await get('/livez'), 200, 'ok\n');
    });

    it('serve each check by itself', async () => {
      await listenClient();
      facts.linearizableError = new Error('slow');
      expectPlain(await get('/readyz/non_learner'), 200, 'ok\n');
      expectPlain(
        await get('/readyz/linearizable_read'),
        503,
        '[-]linearizable_read failed: slow\n\n',
      );
      expectPlain(await get('/readyz/foo'), 404, '404 page not found\n');
      expectPlain(await get('/livez/linearizable_read'), 404, '404 page not found\n');
      const counters = metrics.checks.get('readyz/linearizable_read');
      expect(counters).include({ isOk: false, successes: 0, errors: 1 });
    });

    it('take GET alone', async () => {
      await listenClient();
      const answer = await ask('POST', '/readyz');
      expectPlain(answer, 405, 'Method Not Allowed\n');
      expect(answer.headers.allow).equal('GET');
    });
  });

  describe('/version', () => {
    it('reports the server, the cluster and the storage version', async () => {
      await listenClient();
      const answer = await get('/version');
      expect(answer.status).equal(200);
      expect(answer.headers['content-type']).equal('application/json');
      expect(answer.body).match(
        /^\{"etcdserver":"3\.6\.\d+","etcdcluster":"3\.6\.0","storage":"3\.6\.0"\}$/,
      );
      expect((await ask('POST', '/version')).status).equal(405);
    });

    it('reports that the cluster has not decided yet', async () => {
      cluster.clusterVersion = undefined;
      await listenClient();
      expect((await get('/version')).body).match(/"etcdcluster":"not_decided"\}$/);
    });
  });

  it('packs the metrics for clients that ask for it', async () => {
    await listenClient();
    const packed = await get('/metrics', { 'accept-encoding': 'gzip' });
    expect(packed.headers['content-encoding']).equal('gzip');
    expect(packed.headers['content-length']).equal(String(packed.bytes.length));
    expect(gunzipSync(packed.bytes).toString()).contain('etcd_server_has_leader 1\n');
    for (const accepted of ['gzip;q=0', 'identity, gzip', 'br']) {
      const plain = await get('/metrics', { 'accept-encoding': accepted });
      expect(plain.headers['content-encoding'], accepted).equal(undefined);
      expect(plain.body).contain('etcd_server_has_leader 1\n');
    }
    expect(metrics.scrapes).deep.equal({ inFlight: 0, ok: 4, failed: 0 });
  });

  it('counts the scrape under way, and one that fails', async () => {
    await listenClient();
    const first = (await get('/metrics')).body;
    expect(first).contain('\npromhttp_metric_handler_requests_in_flight 1\n');
    expect(first).contain('\npromhttp_metric_handler_requests_total{code="200"} 0\n');
    server.closeAllConnections();
    server.close();
    await listen(
      metricsListener({ ...parts(), page: { text: () => Promise.reject(new Error('torn')) } }),
    );
    const answer = await get('/metrics');
    expectPlain(answer, 500, 'the metrics cannot be read: torn\n');
    expect(metrics.scrapes).deep.equal({ inFlight: 0, ok: 1, failed: 1 });
  });

  it('shows variables of the process to GET', async () => {
    await listenClient();
    const answer = await get('/debug/vars');
    expect(answer.status).equal(200);
    expect(answer.headers['content-type']).equal('application/json; charset=utf-8');
    const variables = JSON.parse(answer.body) as Record<string, unknown>;
    expect(variables['cmdline']).deep.equal(process.argv);
    expect(variables['file_descriptor_limit']).greaterThan(10);
    expect(variables['raft.status']).deep.equal({
      id: 'a',
      term: 3,
      vote: 'a',
      commit: 9,
      lead: 'a',
      raftState: 'StateLeader',
      applied: 8,
      progress: { b: { match: 7, next: 8, state: 'StateProbe' } },
      leadtransferee: '0',
    });
    expectPlain(await ask('POST', '/debug/vars'), 405, 'Method Not Allowed\n');
  });

  it('serves metrics to any method', async () => {
    await listenClient();
    const answer = await get('/metrics');
    expect(answer.status).equal(200);
    expect(answer.headers['content-type']).match(/^text\/plain; version=0\.0\.4/);
    expect(answer.body).contain('etcd_server_has_leader 1\n');
    expect((await ask('POST', '/metrics')).status).equal(200);
    const head = await ask('HEAD', '/metrics');
    expect(head).include({ status: 200, body: '' });
  });

  it('answers 404 to everything else, the gateway included', async () => {
    await listenClient();
    for (const path of ['/', '/foo', '/v3/kv/range', '/debug/pprof/', '/members', '/livez/']) {
      expectPlain(await get(path), 404, '404 page not found\n');
    }
    expectPlain(await ask('POST', '/v3/kv/range'), 404, '404 page not found\n');
  });

  describe('/config/local/log', () => {
    const put = (body: string): Promise<Answer> => ask('PUT', '/config/local/log', {}, body);

    it('changes the level of the log', async () => {
      await listenClient();
      const names: [string, string][] = [
        ['DEBUG', 'debug'],
        ['debug', 'debug'],
        ['TRACE', 'debug'],
        ['N', 'info'],
        ['Info', 'info'],
        ['WARNING', 'warn'],
        ['warn', 'warn'],
        ['0', 'error'],
        ['CRITICAL', 'panic'],
        ['fatal', 'fatal'],
      ];
      for (const [name, level] of names) {
        const answer = await put(JSON.stringify({ Level: name }));
        expect([answer.status, answer.body], name).deep.equal([204, '']);
        expect(log.logger.level, name).equal(level);
      }
      expect((await put('{"level":"INFO","other":1}')).status).equal(204);
      expect(log.logger.level).equal('info');
    });

    it('logs the change at the more talkative of both levels', async () => {
      await listenClient();
      await put('{"Level":"ERROR"}');
      await put('{"Level":"CRITICAL"}');
      await put('{"Level":"DEBUG"}');
      const msg = 'the log level was changed';
      expect(log.take()).deep.equal([
        { level: 'warn', msg, from: 'info', to: 'error' },
        { level: 'warn', msg, from: 'panic', to: 'debug' },
      ]);
    });

    it('refuses an unknown level, and changes nothing', async () => {
      await listenClient();
      const cases: [string, string][] = [
        ['{"Level":"nonsense"}', 'Invalid log level nonsense'],
        ['{"Level":""}', 'Invalid log level '],
        ['{}', 'Invalid log level '],
        ['null', 'Invalid log level '],
        ['', 'Invalid json body'],
        ['nonsense', 'Invalid json body'],
        ['{"Level":3}', 'Invalid json body'],
        ['[]', 'Invalid json body'],
        [`{"Level":"INFO","x":"${'x'.repeat(5000)}"}`, 'Invalid json body'],
      ];
      for (const [body, message] of cases) {
        const answer = await put(body);
        expect(answer.status, body).equal(400);
        expect(answer.headers['content-type']).equal('application/json');
        expect(answer.body).equal(JSON.stringify({ message }));
      }
      expect(log.logger.level).equal('info');
      const other = await get('/config/local/log');
      expectPlain(other, 405, 'Method Not Allowed\n');
      expect(other.headers.allow).equal('PUT');
    });
  });

  it('sends paths that are not clean to those that are, on every port', async () => {
    for (const listener of [
      clientListener(parts(), cluster, OPEN),
      metricsListener(parts()),
      peerListener(cluster),
    ]) {
      await listen(listener);
      const answer = await get('//version?a=b');
      expect([answer.status, answer.headers.location]).deep.equal([301, '/version?a=b']);
      server.closeAllConnections();
      server.close();
    }
    await listenClient();
    expect((await get('//version')).headers['access-control-allow-origin']).equal('*');
  });

  it("logs unhealthy answers with etcd's lines", async () => {
    await listenClient();
    facts.alarms = ['NOSPACE'];
    await get('/health');
    facts.alarms = [];
    facts.hasLeader = false;
    await get('/health');
    facts.hasLeader = true;
    facts.linearizableError = new Error('slow');
    await get('/health');
    await ask('POST', '/health');
    await get('/readyz/linearizable_read');
    await get('/readyz?exclude=foo&exclude=linearizable_read');
    const error = (reason: string): Record<string, unknown> => ({
      level: 'warn',
      msg: '/health error',
      output: `{"health":"false","reason":"${reason}"}`,
      'status-code': 503,
    });
    const warn = (msg: string, fields = {}): Record<string, unknown> => ({
      level: 'warn',
      msg,
      ...fields,
    });
    expect(log.take()).deep.equal([
      warn('serving /health false due to an alarm', { alarm: 'NOSPACE' }),
      error('ALARM NOSPACE'),
      warn('serving /health false; no leader'),
      error('RAFT NO LEADER'),
      warn('serving /health false; Range fails', { error: 'slow' }),
      error('RANGE ERROR:slow'),
      warn('/health error', { 'status-code': 405 }),
      {
        level: 'error',
        msg: 'Health check error',
        path: '/readyz/linearizable_read',
        reason: '[-]linearizable_read failed: slow\n',
        'status-code': 503,
      },
      warn('some health checks cannot be excluded', { 'missing-health-checks': '"foo"' }),
    ]);
    facts.linearizableError = null;
    await get('/health');
    await get('/readyz');
    expect(log.take()).deep.equal([]);
  });

  it('serves a connection again after a request with a body', async () => {
    await listenClient();
    expect((await ask('POST', '/foo', { 'content-length': '0' })).status).equal(404);
    expect((await get('/version')).status).equal(200);
  });

  describe('browsers', () => {
    const headers = [
      'access-control-allow-methods',
      'access-control-allow-origin',
      'access-control-allow-headers',
    ];
    const seen = (answer: Answer): unknown[] => headers.map((name) => answer.headers[name]);
    const allowed = (origin: string): unknown[] => [
      'POST, GET, OPTIONS, PUT, DELETE',
      origin,
      'accept, content-type, authorization',
    ];

    it('may call from anywhere by default', async () => {
      await listenClient();
      expect(seen(await get('/version'))).deep.equal(allowed('*'));
      expect(seen(await get('/foo'))).deep.equal(allowed('*'));
      expect(await ask('OPTIONS', '/foo')).include({ status: 200, body: '' });
    });

    it('may call from listed origins alone', async () => {
      await listenClient({ cors: ['http://ok.example:80'], hostWhitelist: [] });
      const origin = 'http://ok.example:80';
      expect(seen(await get('/version', { origin }))).deep.equal(allowed(origin));
      const foreign = await get('/version', { origin: 'http://other.example:80' });
      expect(foreign.status).equal(200);
      expect(seen(foreign)).deep.equal([undefined, undefined, undefined]);
    });

    it('may use listed host names alone', async () => {
      await listenClient({ cors: ['*'], hostWhitelist: ['a.example', '::1'] });
      expect((await get('/version', { host: 'a.example:99' })).status).equal(200);
      expect((await get('/version', { host: 'a.example' })).status).equal(200);
      expect((await get('/version', { host: '[::1]:99' })).status).equal(200);
      const refused = await get('/version', { host: 'b.example' });
      expect(refused.status).equal(421);
      expect(refused.body).contain('--host-whitelist');
      expect(seen(refused)).deep.equal([undefined, undefined, undefined]);
    });
  });

  describe('the metrics port', () => {
    it('serves monitoring alone, without browser headers', async () => {
      await listen(metricsListener(parts()));
      for (const path of ['/metrics', '/health', '/livez', '/readyz']) {
        const answer = await get(path);
        expect(answer.status, path).equal(200);
        expect(answer.headers['access-control-allow-origin']).equal(undefined);
      }
      for (const path of ['/version', '/debug/vars', '/'])
        expect((await get(path)).status, path).equal(404);
    });
  });

  describe('the peer port', () => {
    it('lists the members with ids of 64 bits', async () => {
      await listen(peerListener(cluster));
      const answer = await get('/members');
      expect(answer.status).equal(200);
      expect(answer.headers['x-etcd-cluster-id']).equal('e6953f8d911446fa');
      expect(answer.headers['content-type']).equal('application/json');
      expect(answer.body).equal(
        '[{"id":2051142733376812877,"peerURLs":["http://127.0.0.1:1"],"name":"default","clientURLs":["http://127.0.0.1:2"]},' +
          '{"id":3,"peerURLs":["http://127.0.0.1:3"],"isLearner":true}]\n',
      );
      expect((await ask('POST', '/members')).status).equal(405);
      expect((await get('/version')).status).equal(200);
      expect((await get('/metrics')).status).equal(404);
    });
  });
});
