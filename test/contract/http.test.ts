import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { parseExposition } from '../support/exposition.js';
import { httpAnswer, type HttpAnswer, type HttpQuestion } from './support/http.js';
import { bytes, describeForAll, freshPrefix, prefixEnd, type Target } from './support/targets.js';

/** Pages served over HTTP/1.1 on the client, metrics and peer ports besides the gateway. */

type Port = 'client' | 'metrics' | 'peer';

const TEXT = 'text/plain; charset=utf-8';
const NOT_FOUND = { status: 404, type: TEXT, body: '404 page not found\n', nosniff: true };
const NOT_ALLOWED = { status: 405, type: TEXT, body: 'Method Not Allowed\n', nosniff: true };

describeForAll('http', (target: Target) => {
  const itSince35 = target.isSince(5) ? it : (): void => undefined;
  const itSince36 = target.isSince(6) ? it : (): void => undefined;

  function ask(
    line: string,
    port: Port = 'client',
    more: Omit<HttpQuestion, 'port' | 'path'> = {},
  ): Promise<HttpAnswer> {
    const { clientPort, metricsPort, peerPort } = target.member;
    const number = { client: clientPort, metrics: metricsPort, peer: peerPort }[port];
    const [method = '', path = ''] = line.split(' ');
    return httpAnswer({ port: number, method, path, ...more });
  }

  /** Parts of an answer that the contract fixes. */
  function gist({ status, headers, body }: HttpAnswer): Record<string, unknown> {
    const nosniff = headers['x-content-type-options'] === 'nosniff';
    return { status, type: headers['content-type'], body, nosniff };
  }

  it('is healthy', async () => {
    for (const path of ['/health', '/health?serializable=true', '/health?exclude=NOSPACE']) {
      const { status, body } = await ask(`GET ${path}`);
      expect(status, path).to.equal(200);
      expect(JSON.parse(body), path).to.include({ health: 'true' });
    }
    expect((await ask('POST /health')).status).to.equal(405);
  });

  itSince35('gives no reason when healthy', async () => {
    for (const port of ['client', 'metrics'] as const) {
      expect(gist(await ask('GET /health?exclude=', port)), port).to.deep.equal({
        status: 200,
        type: TEXT,
        body: '{"health":"true","reason":""}',
        nosniff: false,
      });
    }
  });

  itSince35('is alive and ready', async () => {
    const ok = { status: 200, type: TEXT, body: 'ok\n', nosniff: true };
    for (const path of [
      '/livez',
      '/readyz',
      '/livez/serializable_read',
      '/readyz/linearizable_read',
      '/readyz/data_corruption',
      '/livez?exclude=nonsense',
    ]) {
      expect(gist(await ask(`GET ${path}`)), path).to.deep.equal(ok);
      expect(gist(await ask(`GET ${path}`, 'metrics')), path).to.deep.equal(ok);
    }
    const live = await ask('GET /livez?verbose');
    expect(live.body).to.equal('[+]serializable_read ok\nok\n');
    const single = await ask('GET /livez/serializable_read?verbose=false');
    expect(single.body).to.equal('[+]serializable_read ok\nok\n');
    const ready = (await ask('GET /readyz?verbose')).body;
    for (const check of ['data_corruption', 'serializable_read', 'linearizable_read']) {
      expect(ready).to.contain(`[+]${check} ok\n`);
    }
    const without = (await ask('GET /readyz?verbose&exclude=linearizable_read')).body;
    expect(without).to.not.contain('linearizable_read ok');
    expect(gist(await ask('POST /livez'))).to.deep.equal(NOT_ALLOWED);
    expect(gist(await ask('GET /livez/nonsense'))).to.deep.equal(NOT_FOUND);
    expect(gist(await ask('POST /livez/nonsense'))).to.deep.equal(NOT_FOUND);
  });

  it('reports its version', async () => {
    for (const port of ['client', 'peer'] as const) {
      const { status, headers, body } = await ask('GET /version', port);
      expect(status).to.equal(200);
      expect(headers['content-type']).to.equal('application/json');
      const version = JSON.parse(body) as Record<string, string>;
      expect(version['etcdserver']).to.equal((await target.client.maintenance.status()).version);
      expect(version['etcdcluster']).to.match(/^3[.]\d+[.]0$/);
      const refused = await ask('POST /version', port);
      expect(gist(refused)).to.deep.equal(NOT_ALLOWED);
      expect(refused.headers['allow']).to.equal('GET');
    }
  });

  it('has metrics, packed if asked to', async () => {
    for (const port of ['client', 'metrics'] as const) {
      for (const method of ['GET', 'POST']) {
        const { status, headers, body } = await ask(`${method} /metrics`, port);
        expect(status).to.equal(200);
        expect(headers['content-type']).to.match(/^text\/plain; version=0\.0\.4; charset=utf-8/);
        expect(headers['content-encoding']).to.equal(undefined);
        for (const name of [
          'etcd_server_has_leader 1',
          'etcd_server_is_leader 1',
          'etcd_server_leader_changes_seen_total',
          'etcd_server_proposals_committed_total',
          'etcd_mvcc_db_total_size_in_bytes',
          'etcd_disk_wal_fsync_duration_seconds_bucket',
          'process_resident_memory_bytes',
        ]) {
          expect(body).to.contain(`\n${name}`);
        }
      }
      const packed = await ask('GET /metrics', port, { headers: { 'accept-encoding': 'gzip' } });
      expect(packed.headers['content-encoding']).to.equal('gzip');
      expect(gunzipSync(packed.bytes).toString()).to.contain('\netcd_server_has_leader 1\n');
      expect((await ask('HEAD /metrics', port)).status).to.equal(200);
    }
  });

  itSince36('packs the metrics only for clients that prefer it', async () => {
    const type = 'text/plain; version=0.0.4; charset=utf-8; escaping=underscores';
    for (const [accepted, encoding] of [
      ['gzip;q=0', undefined],
      ['identity, gzip', undefined],
      ['*', undefined],
      ['deflate, gzip;q=0.1', 'gzip'],
    ] as const) {
      const answer = await ask('GET /metrics', 'client', {
        headers: { 'accept-encoding': accepted },
      });
      expect(answer.headers['content-encoding'], accepted).to.equal(encoding);
      expect(answer.headers['content-type']).to.equal(type);
    }
  });

  it('counts keys that exist', async () => {
    const prefix = freshPrefix();
    const keys = async (): Promise<number> => {
      const families = parseExposition((await ask('GET /metrics')).body);
      return families.get('etcd_debugging_mvcc_keys_total')?.samples[0]?.value ?? NaN;
    };
    const before = await keys();
    for (const name of ['a', 'b', 'c', 'a'])
      await target.client.kv.put({ key: bytes(prefix + name), value: bytes('v') });
    expect(await keys()).to.equal(before + 3);
    await target.client.kv.deleteRange({ key: bytes(`${prefix}b`) });
    expect(await keys()).to.equal(before + 2);
    await target.client.kv.put({ key: bytes(`${prefix}b`), value: bytes('v') });
    expect(await keys()).to.equal(before + 3);
    const { header } = await target.client.kv.deleteRange({
      key: bytes(prefix),
      rangeEnd: prefixEnd(prefix),
    });
    expect(await keys()).to.equal(before);
    await target.client.kv.compact({ revision: header?.revision ?? 0, physical: true });
    expect(await keys()).to.equal(before);
  });

  itSince36('counts calls by version of their client, and times ranges', async () => {
    const read = async (): Promise<[requests: number, ranges: number]> => {
      const families = parseExposition((await ask('GET /metrics')).body);
      const requests = families.get('etcd_server_client_requests_total')?.samples ?? [];
      const unknown = requests.find(
        ({ labels }) =>
          labels.get('client_api_version') === 'unknown' && labels.get('type') === 'unary',
      );
      const ranges = families.get('etcd_server_range_duration_seconds')?.samples ?? [];
      const count = ranges.find(
        ({ name, labels }) => name.endsWith('_count') && labels.get('success') === 'true',
      );
      return [unknown?.value ?? 0, count?.value ?? 0];
    };
    const [requests, ranges] = await read();
    for (let i = 0; i < 3; i++) await target.client.kv.range({ key: bytes('a') });
    await target.client.kv.range({ key: bytes('a'), rangeEnd: bytes('b'), countOnly: true });
    await target.client.kv.put({ key: bytes('a'), value: bytes('v') });
    const [requestsAfter, rangesAfter] = await read();
    expect(requestsAfter).to.equal(requests + 5);
    expect(rangesAfter).to.be.at.least(ranges + 4);
  });

  itSince35('shows variables of the process', async () => {
    const { status, headers, body } = await ask('GET /debug/vars');
    expect(status).to.equal(200);
    expect(headers['content-type']).to.equal('application/json; charset=utf-8');
    const variables = JSON.parse(body) as Record<string, unknown>;
    expect(variables['cmdline']).to.be.an('array');
    expect(variables['file_descriptor_limit']).to.be.a('number');
    const status0 = variables['raft.status'] as Record<string, unknown>;
    expect(status0).to.include({ raftState: 'StateLeader', lead: status0['id'] });
    expect(status0).to.have.all.keys(
      'id',
      'term',
      'vote',
      'commit',
      'lead',
      'raftState',
      'applied',
      'progress',
      'leadtransferee',
    );
    const { progress } = status0 as { progress: Record<string, object> };
    expect(Object.keys(progress)).to.deep.equal([status0['id']]);
    expect(gist(await ask('POST /debug/vars'))).to.deep.equal(NOT_ALLOWED);
  });

  it('sends paths that are not clean to those that are', async () => {
    const cases: [Port, string, string][] = [
      ['client', '//version', '/version'],
      ['client', '//version?a=b', '/version?a=b'],
      ['client', '/./version', '/version'],
      ['client', '/a/../version', '/version'],
      ['client', '/x//y/', '/x/y/'],
      ['client', '//', '/'],
      ['metrics', '//metrics', '/metrics'],
      ['peer', '//version', '/version'],
    ];
    for (const [port, path, location] of cases) {
      const answer = await ask(`GET ${path}`, port);
      // One built with Go 1.26 or later answers 307.
      const statuses = target.kind === 'etcd' ? [301, 307] : [301];
      expect(statuses, path).to.include(answer.status);
      const text = answer.status === 301 ? 'Moved Permanently' : 'Temporary Redirect';
      expect(gist({ ...answer, status: 301 }), path).to.deep.equal({
        status: 301,
        type: 'text/html; charset=utf-8',
        body: `<a href="${location}">${text}</a>.\n\n`,
        nosniff: false,
      });
      expect(answer.headers['location'], path).to.equal(location);
      const post = await ask(`POST ${path}`, port);
      expect([post.status, post.headers['location'], post.body]).to.deep.equal([
        answer.status,
        location,
        '',
      ]);
    }
  });

  it('lists the members on the peer port', async () => {
    const { status, headers, body } = await ask('GET /members', 'peer');
    expect(status).to.equal(200);
    expect(headers['content-type']).to.equal('application/json');
    expect(headers['x-etcd-cluster-id']).to.match(/^[0-9a-f]+$/);
    const [member] = JSON.parse(body) as Record<string, unknown>[];
    expect(member).to.include({ name: 'n1' });
    expect(member?.['peerURLs']).to.deep.equal([`http://127.0.0.1:${target.member.peerPort}`]);
    expect(member?.['clientURLs']).to.deep.equal([`http://127.0.0.1:${target.member.clientPort}`]);
    expect(gist(await ask('POST /members', 'peer'))).to.deep.equal(NOT_ALLOWED);
  });

  it('has nothing else', async () => {
    const cases: [Port, string][] = [
      ['client', 'GET /'],
      ['client', 'POST /'],
      ['client', 'DELETE /no/such/path'],
      ['client', 'GET /members'],
      ['client', 'GET /health/'],
      ['client', 'GET /version/'],
      ['client', 'GET /metrics/'],
      ['client', 'GET /debug/pprof/'],
      ['metrics', 'GET /'],
      ['metrics', 'GET /version'],
      ['metrics', 'GET /debug/vars'],
      ['peer', 'GET /'],
      ['peer', 'GET /health'],
      ['peer', 'GET /metrics'],
      ['peer', 'GET /members/'],
    ];
    for (const [port, line] of cases)
      expect(gist(await ask(line, port)), `${port} ${line}`).to.deep.equal(NOT_FOUND);
    // Until Go 1.22 an encoded slash was one.
    if (target.isSince(6)) expect(gist(await ask('GET /%2fversion'))).to.deep.equal(NOT_FOUND);
    const head = await ask('HEAD /');
    expect([head.status, head.body]).to.deep.equal([404, '']);
  });

  it('answers questions of browsers', async () => {
    const options = await ask('OPTIONS //version');
    expect([options.status, options.body]).to.deep.equal([200, '']);
    expect(options.headers['access-control-allow-origin']).to.equal('*');
    expect((await ask('GET /nothing')).headers['access-control-allow-origin']).to.equal('*');
    expect((await ask('GET /metrics', 'metrics')).headers).to.not.have.property(
      'access-control-allow-origin',
    );
  });

  // Etcd took it out of 3.5.
  const itWithLogLevel = target.kind === 'etcd' && target.isSince(5) ? (): void => undefined : it;

  itWithLogLevel('changes the level of its log', async () => {
    const put = (body: string): Promise<HttpAnswer> =>
      ask('PUT /config/local/log', 'client', { body });
    const taken = await put('{"Level":"DEBUG"}');
    expect([taken.status, taken.body]).to.deep.equal([204, '']);
    expect((await put('{"level":"Warning"}')).status).to.equal(204);
    const cases: [string, string][] = [
      ['{"Level":"nonsense"}', 'Invalid log level nonsense'],
      ['{}', 'Invalid log level '],
      ['nonsense', 'Invalid json body'],
      ['{"Level":3}', 'Invalid json body'],
    ];
    for (const [body, message] of cases) {
      expect(gist(await put(body)), body).to.deep.equal({
        status: 400,
        type: 'application/json',
        body: JSON.stringify({ message }),
        nosniff: false,
      });
    }
    const refused = await ask('GET /config/local/log');
    expect(gist(refused)).to.deep.equal(NOT_ALLOWED);
    expect(refused.headers['allow']).to.equal('PUT');
  });
});
