import { expect } from 'chai';
import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';
import * as https from 'node:https';
import type { Readable } from 'node:stream';
import { PassThrough } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import type { RenderedAnswer, WatchBody } from '../../../../src/cluster/apiserver/http/rendered.js';
import { RequestMetrics } from '../../../../src/cluster/apiserver/http/request-metrics.js';
import { HttpServer, type Handler } from '../../../../src/cluster/apiserver/http/server.js';
import type { ApiRequest } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import type { ClusterEnv } from '../../../../src/cluster/env.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { until } from '../../../support/until.js';
import { makeAuthority, type KeyAndCert, type TestAuthority } from '../../support/certificates.js';
import {
  connectHttp2,
  sendHttp1,
  sendHttp2,
  type Received,
  type Sent,
  type Target,
} from './client.js';

const text = (body: string): RenderedAnswer => ({
  status: 200,
  headers: { 'content-type': 'text/plain' },
  body: Buffer.from(body),
});

describe('cluster/apiserver/http', () => {
  let authority: TestAuthority;
  let serverTls: KeyAndCert;
  let server: HttpServer;
  let target: Target;
  let handle: Handler;
  let mistakes: unknown[];
  let metrics: RequestMetrics;
  const sessions: ClientHttp2Session[] = [];

  before(async () => {
    authority = await makeAuthority();
    serverTls = await authority.server();
  });

  async function start(env: ClusterEnv = systemClusterEnv(), maxReads = 400): Promise<void> {
    mistakes = [];
    metrics = new RequestMetrics(({ resource }) => resource === 'pods');
    server = new HttpServer({
      env,
      tls: { ...serverTls, clientCa: authority.ca },
      handle: (request, info) => handle(request, info),
      metrics,
      inFlight: { maxReads, maxMutations: 1 },
      onMistake: (error) => mistakes.push(error),
    });
    target = { port: await server.listen('127.0.0.1', 0), ca: authority.ca };
  }

  beforeEach(() => start());

  afterEach(async () => {
    sessions.splice(0).forEach((session) => session.destroy());
    await server.stop(0);
  });

  function http2(identity?: KeyAndCert): ClientHttp2Session {
    const session = connectHttp2(identity === undefined ? target : { ...target, identity });
    sessions.push(session);
    return session;
  }

  /** The same request over both protocols. */
  async function both(sent: Sent): Promise<Received[]> {
    return [await sendHttp1(target, sent), await sendHttp2(http2(), sent)];
  }

  it('hands over method, path, query, headers and body, over both protocols', async () => {
    const seen: unknown[] = [];
    handle = async (request, info) => {
      const body = Buffer.from(await request.body()).toString();
      const { method, path } = request;
      seen.push([method, path, request.query.get('a'), request.header('x-note'), info.name, body]);
      expect(request.headerNames()).to.include('x-note');
      return text('fine');
    };
    const path = '/api/v1/namespaces/d/pods/p%3A?a=b+c';
    const answers = await both({
      method: 'PUT',
      path,
      headers: { 'x-note': 'n' },
      body: 'x'.repeat(200_000),
    });
    const plain = '/api/v1/namespaces/d/pods/p%3A';
    const expected = ['PUT', plain, 'b c', 'n', 'p:', 'x'.repeat(200_000)];
    expect(seen).to.deep.equal([expected, expected]);
    for (const { status, headers, body } of answers) {
      expect([status, body.toString()]).to.deep.equal([200, 'fine']);
      expect(headers['content-length']).to.equal('4');
      expect(headers['cache-control']).to.equal('no-cache, private');
    }
  });

  it('knows a client by the certificate of its authority only', async () => {
    handle = ({ certificate }) => {
      const { fingerprint, ...subject } = certificate ?? { fingerprint: undefined };
      if (fingerprint !== undefined) expect(fingerprint).to.match(/^[0-9a-f]{64}$/);
      return Promise.resolve(text(JSON.stringify(certificate === undefined ? null : subject)));
    };
    const path = '/version';
    const admin = await authority.client('admin', 'system:masters', 'devs');
    const stranger = await (await makeAuthority()).client('admin', 'system:masters');
    const wrongUse = await authority.server();
    const ask = async (identity?: KeyAndCert): Promise<string[]> => {
      const to = identity === undefined ? target : { ...target, identity };
      const one = await sendHttp1(to, { path });
      const two = await sendHttp2(http2(identity), { path });
      return [one.body.toString(), two.body.toString()];
    };
    const known = '{"commonName":"admin","organizations":["system:masters","devs"]}';
    expect(await ask(admin)).to.deep.equal([known, known]);
    expect(await ask()).to.deep.equal(['null', 'null']);
    expect(await ask(stranger)).to.deep.equal(['null', 'null']);
    expect(await ask(wrongUse)).to.deep.equal(['null', 'null']);
  });

  it('refuses bodies beyond 3 MiB, announced or not, and stays usable', async () => {
    handle = async (request) => text(String((await request.body()).length));
    const limit = 3 * 1024 * 1024;
    const send = (size: number): Promise<Received[]> =>
      both({ method: 'POST', path: '/api/v1/namespaces', body: Buffer.alloc(size) });
    for (const { body } of await send(limit)) expect(body.toString()).to.equal(String(limit));
    const path = '/api/v1/namespaces';
    const session = http2();
    const refused = await sendHttp2(session, {
      method: 'POST',
      path,
      body: Buffer.alloc(limit + 1),
    });
    expect(refused.status).to.equal(413);
    expect(JSON.parse(refused.body.toString())).to.include({
      message: 'Request entity too large: limit is 3145728',
      reason: 'RequestEntityTooLarge',
    });
    expect(
      (await sendHttp2(session, { method: 'POST', path, body: 'xy' })).body.toString(),
    ).to.equal('2');
    const announced = await sendHttp1(target, {
      method: 'POST',
      path,
      headers: { 'content-length': String(limit + 1), expect: '100-continue' },
    }).catch((error: unknown) => error as Error);
    expect(announced).to.include({ status: 413 });
    const chunked = await sendHttp1(target, {
      method: 'POST',
      path,
      headers: { 'transfer-encoding': 'chunked' },
      body: Buffer.alloc(limit + 1),
    }).catch((error: unknown) => error as NodeJS.ErrnoException);
    // The server hangs up: the client sees the answer, or that it may not send on.
    if (chunked instanceof Error) expect(chunked.code).to.be.oneOf(['EPIPE', 'ECONNRESET']);
    else expect(chunked.status).to.equal(413);
  });

  it('packs long bodies for clients that accept gzip', async () => {
    const long = Buffer.from('0123456789abcdef'.repeat(8192));
    handle = ({ path }) =>
      Promise.resolve({
        status: 200,
        headers: {},
        body: path === '/long' ? [long.subarray(0, 5), long.subarray(5)] : long.subarray(1),
      });
    const headers = { 'accept-encoding': 'gzip' };
    for (const answer of await both({ path: '/long', headers })) {
      expect(answer.headers['content-encoding']).to.equal('gzip');
      expect(answer.headers['vary']).to.equal('Accept-Encoding');
      expect(answer.body.length).to.be.lessThan(5000);
      expect(gunzipSync(answer.body).equals(long)).to.equal(true);
    }
    const plain = [
      ...(await both({ path: '/short', headers })),
      ...(await both({ path: '/long' })),
      ...(await both({ path: '/long', headers: { 'accept-encoding': 'br, gzip;q=0' } })),
    ];
    for (const answer of plain) {
      expect(answer.headers['content-encoding']).to.equal(undefined);
      expect(answer.body.length).to.be.oneOf([long.length, long.length - 1]);
    }
  });

  it('sends a long body piece by piece to a reader that takes its time', async () => {
    const piece = Buffer.alloc(1 << 20, 'p');
    handle = () => Promise.resolve({ status: 200, headers: {}, body: Array(40).fill(piece) });
    for (const { body } of await both({ path: '/big' })) expect(body.length).to.equal(40 << 20);
  });

  it('sends no body to HEAD', async () => {
    handle = () => Promise.resolve(text('hello'));
    for (const { headers, body } of await both({ method: 'HEAD', path: '/healthz' })) {
      expect(headers['content-length']).to.equal('5');
      expect(body.length).to.equal(0);
    }
  });

  class Ticker implements WatchBody {
    write: ((chunks: readonly Uint8Array[]) => boolean) | undefined;
    end: (() => void) | undefined;
    drains = 0;
    closes = 0;

    start(write: (chunks: readonly Uint8Array[]) => boolean, end: () => void): void {
      this.write = write;
      this.end = end;
    }

    drained(): void {
      this.drains++;
    }

    close(): void {
      this.closes++;
    }
  }

  function watch(session: ClientHttp2Session): { lines: () => string; ended: () => boolean } {
    const stream = session.request({ ':path': '/api/v1/pods?watch=1', 'accept-encoding': 'gzip' });
    let received = '';
    let isEnded = false;
    stream.on('data', (chunk: Buffer) => (received += chunk.toString()));
    stream.on('end', () => (isEnded = true));
    stream.on('error', () => undefined);
    return { lines: () => received, ended: () => isEnded };
  }

  it('sends the head of a watch at once, its lines as they come, and no gzip', async () => {
    const ticker = new Ticker();
    handle = () => Promise.resolve({ status: 200, headers: { 'x-a': 'b' }, body: ticker });
    const session = http2();
    const stream = session.request({ ':path': '/api/v1/pods?watch=1', 'accept-encoding': 'gzip' });
    const [head] = (await once(stream, 'response')) as [Record<string, string>];
    expect(head).to.include({ ':status': 200, 'x-a': 'b' });
    expect(head['content-encoding']).to.equal(undefined);
    let received = '';
    stream.on('data', (chunk: Buffer) => (received += chunk.toString()));
    ticker.write?.([Buffer.from('one'), Buffer.from('\n')]);
    await until(() => received === 'one\n');
    ticker.write?.([Buffer.from('two\n')]);
    ticker.end?.();
    await once(stream, 'end');
    expect(received).to.equal('one\ntwo\n');
    expect(ticker.closes).to.equal(0);
  });

  it('tells a watch to wait for a client that does not read, and to go on', async () => {
    const ticker = new Ticker();
    handle = () => Promise.resolve({ status: 200, headers: {}, body: ticker });
    const stream = http2().request({ ':path': '/api/v1/pods?watch=1' });
    await until(() => ticker.write !== undefined);
    let sent = 0;
    while (ticker.write?.([Buffer.alloc(65_536)]) === true) sent++;
    expect(sent).to.be.lessThan(1000);
    expect(ticker.drains).to.equal(0);
    let received = 0;
    stream.on('data', (chunk: Buffer) => (received += chunk.length));
    await until(() => ticker.drains > 0 && received === (sent + 1) * 65_536);
  });

  it('closes a watch whose client has gone, over both protocols, once', async () => {
    const tickers: Ticker[] = [];
    const signals: AbortSignal[] = [];
    handle = (request) => {
      signals.push(request.signal);
      const ticker = new Ticker();
      tickers.push(ticker);
      return Promise.resolve({ status: 200, headers: {}, body: ticker });
    };
    const stream = http2().request({ ':path': '/api/v1/pods?watch=1' });
    const other = https.get({
      ...{ host: '127.0.0.1', port: target.port, ca: target.ca, agent: false },
      path: '/api/v1/pods?watch=1',
    });
    other.on('error', () => undefined);
    await until(() => tickers.length === 2 && tickers.every(({ write }) => write !== undefined));
    expect([...metrics.longRunningNow.values()]).to.deep.equal([2]);
    stream.close();
    other.destroy();
    await until(() => tickers.every(({ closes }) => closes === 1));
    expect(signals.every(({ aborted }) => aborted)).to.equal(true);
    await until(() => server.activeRequests === 0);
    expect([...metrics.longRunningNow.values()]).to.deep.equal([0]);
    expect(tickers[0]?.write?.([Buffer.from('late')])).to.equal(false);
  });

  it('streams text as it comes, and breaks off when its source fails', async () => {
    const sources: PassThrough[] = [];
    handle = () => {
      const readable = new PassThrough();
      sources.push(readable);
      readable.write('begin ');
      return Promise.resolve({ status: 200, headers: {}, body: readable });
    };
    const session = http2();
    const whole = sendHttp2(session, { path: '/api/v1/namespaces/d/pods/p/log' });
    await until(() => sources.length === 1);
    sources[0]?.end('end');
    expect((await whole).body.toString()).to.equal('begin end');
    for (const send of [
      () => sendHttp2(session, { path: '/api/v1/namespaces/d/pods/p/log' }),
      () => sendHttp1(target, { path: '/api/v1/namespaces/d/pods/p/log' }),
    ]) {
      const count = sources.length;
      const failed = send().then(
        () => 'whole',
        () => 'broken off',
      );
      await until(() => sources.length > count);
      sources.at(-1)?.destroy(new Error('node lost'));
      expect(await failed).to.equal('broken off');
    }
  });

  it('answers 429 with Retry-After to what finds no room; watches and admins do', async () => {
    await server.stop(0);
    await start(systemClusterEnv(), 2);
    const gates: (() => void)[] = [];
    handle = async (request) => {
      if (request.query.has('watch')) return text('watch');
      await new Promise<void>((resolve) => gates.push(resolve));
      return text('late');
    };
    const session = http2();
    const path = '/api/v1/pods';
    const waiting = [1, 2].map(() => sendHttp2(session, { path }));
    await until(() => gates.length === 2);
    expect(server.inFlight.counts).to.deep.equal({ readOnly: 2, mutating: 0 });
    const refused = await sendHttp2(session, { path });
    expect(refused.status).to.equal(429);
    expect(refused.headers['retry-after']).to.equal('1');
    expect(refused.body.toString()).to.equal('Too many requests, please try again later.\n');
    expect((await sendHttp2(session, { path: `${path}?watch=1` })).status).to.equal(200);
    const writing = sendHttp2(session, { method: 'DELETE', path: `${path}/p` });
    await until(() => gates.length === 3);
    expect((await sendHttp2(session, { method: 'DELETE', path: `${path}/p` })).status).to.equal(
      429,
    );
    const admin = http2(await authority.client('admin', 'system:masters'));
    const privileged = sendHttp2(admin, { path });
    await until(() => gates.length === 4);
    gates.forEach((open) => open());
    for (const answer of await Promise.all([...waiting, writing, privileged]))
      expect(answer.status).to.equal(200);
    expect(server.inFlight.counts).to.deep.equal({ readOnly: 0, mutating: 0 });
  });

  it('gives up a request after a minute, and tells its handler', async () => {
    await server.stop(0);
    const timers = new Map<number, () => void>();
    const env = systemClusterEnv();
    await start({
      ...env,
      after: (delayMs, callback) => {
        timers.set(delayMs, callback);
        return { cancel: () => undefined };
      },
    });
    let request: ApiRequest | undefined;
    handle = async (received) => {
      request = received;
      await received.body();
      return text('never');
    };
    const session = http2();
    const stream = session.request({ ':method': 'POST', ':path': '/api/v1/namespaces' });
    let body = '';
    stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
    stream.on('error', () => undefined);
    stream.write('half a body');
    await until(() => request !== undefined);
    timers.get(60_000)?.();
    const [head] = (await once(stream, 'response')) as [Record<string, number>];
    expect(head[':status']).to.equal(504);
    await until(() => body.endsWith('}\n'));
    expect(JSON.parse(body)).to.include({
      reason: 'Timeout',
      message: 'Timeout: request did not complete within the allotted timeout',
    });
    expect(request?.signal.aborted).to.equal(true);
  });

  it('answers 500 for a mistake of ours and 400 for a path that is no path', async () => {
    handle = () => Promise.reject(new TypeError('x is not a function'));
    const [mistake] = await both({ path: '/version' });
    expect(mistake?.status).to.equal(500);
    expect(JSON.parse(mistake?.body.toString() ?? '')).to.include({
      message: 'Internal error occurred: x is not a function',
      reason: 'InternalError',
    });
    expect(mistakes).to.have.length(2);
    for (const { status } of await both({ path: '/api/v1/pods/%zz' })) expect(status).to.equal(400);
    expect(mistakes).to.have.length(2);
  });

  it('counts answers by verb, resource and code; made-up resources together', async () => {
    handle = () => Promise.resolve(text(''));
    const session = http2();
    for (const path of ['/api/v1/pods', '/api/v1/pods', '/api/v1/made', '/api/v1/up'])
      await sendHttp2(session, { path });
    const totals = [...metrics.totals].map(([labels, count]) => [
      labels.replace(/component="apiserver",|scope="",|subresource="",?/g, ''),
      count,
    ]);
    expect(totals).to.deep.equal([
      ['code="200",group="",resource="pods",scope="cluster",verb="LIST",version="v1"', 2],
      ['code="200",group="",resource="",verb="OTHER",version=""', 2],
    ]);
    expect(metrics.durations.size).to.equal(2);
  });

  describe('upgrades', () => {
    function upgrade(path: string): Promise<{ status: number; text: string }> {
      return new Promise((resolve, reject) => {
        const request = https.request({
          ...{ host: '127.0.0.1', port: target.port, ca: target.ca, agent: false, path },
          headers: { connection: 'Upgrade', upgrade: 'echo' },
        });
        const collect = (source: Readable, status: number): void => {
          let received = '';
          source.on('data', (chunk: Buffer) => (received += chunk.toString()));
          source.on('error', reject);
          source.on('end', () => resolve({ status, text: received }));
        };
        request.on('error', reject);
        request.on('response', (response) => collect(response, response.statusCode ?? 0));
        request.on('upgrade', (response, socket, head) => {
          socket.unshift(head);
          collect(socket, response.statusCode ?? 0);
          socket.end('ping');
        });
        request.end();
      });
    }

    it('belong to their handler when it takes them', async () => {
      handle = (request) => {
        const { upgrade: wanted } = request;
        if (wanted === undefined) throw new Error('no upgrade');
        const { socket, head } = wanted;
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ',
        );
        socket.unshift(head);
        socket.pipe(socket);
        return Promise.resolve(undefined);
      };
      expect(await upgrade('/api/v1/namespaces/d/pods/p/exec')).to.deep.equal({
        status: 101,
        text: 'hello ping',
      });
      await until(() => [...metrics.longRunningNow.values()].every((count) => count === 0));
    });

    it('are answered as other requests when it does not', async () => {
      handle = () => Promise.resolve({ ...text('no'), status: 403 });
      expect(await upgrade('/api/v1/namespaces/d/pods/p/exec')).to.deep.equal({
        status: 403,
        text: 'no',
      });
    });
  });

  describe('stop', () => {
    it('ends watches and logs, lets requests finish and takes no new connection', async () => {
      const gates: (() => void)[] = [];
      const ticker = new Ticker();
      const log = new PassThrough();
      handle = async (_request, info) => {
        if (info.verb === 'watch') return { status: 200, headers: {}, body: ticker };
        if (info.subresource === 'log') return { status: 200, headers: {}, body: log };
        await new Promise<void>((resolve) => gates.push(resolve));
        return text('finished');
      };
      const session = http2();
      const watching = watch(session);
      const logging = sendHttp2(session, { path: '/api/v1/namespaces/d/pods/p/log' });
      const agent = new https.Agent({ keepAlive: true });
      const one = sendHttp2(session, { path: '/api/v1/pods' });
      const two = sendHttp1(target, { path: '/api/v1/pods' }, agent);
      await until(() => gates.length === 2 && ticker.write !== undefined);
      const whenGoAway = once(session, 'goaway');
      const stopped = server.stop(60_000);
      expect(server.isStopping).to.equal(true);
      expect(await whenGoAway).to.have.property('0', 0);
      await until(() => watching.ended());
      expect(ticker.closes).to.equal(1);
      expect((await logging).body.toString()).to.equal('');
      const refused = await new Promise((resolve) => {
        connectTls({ port: target.port, host: '127.0.0.1', ca: target.ca }).once('error', resolve);
      });
      expect(refused).to.have.property('code', 'ECONNREFUSED');
      gates.forEach((open) => open());
      expect((await one).body.toString()).to.equal('finished');
      expect(await two).to.have.nested.property('headers.connection', 'close');
      await stopped;
      agent.destroy();
    });

    it('waits for a request no longer than it was told', async () => {
      let finish: () => void = () => undefined;
      handle = () => new Promise((resolve) => (finish = () => resolve(undefined)));
      const waiting = sendHttp1(target, { path: '/api/v1/pods' }).catch((error: unknown) => error);
      await until(() => server.activeRequests === 1);
      await server.stop(1);
      expect(await waiting).to.be.instanceOf(Error);
      expect(server.activeRequests).to.equal(1);
      finish();
    });
  });
});
