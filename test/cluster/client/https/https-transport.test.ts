import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ApiError, apiError } from '../../../../src/cluster/api/status.js';
import { TransportError, type KubeClient } from '../../../../src/cluster/client/client.js';
import { httpsTransport } from '../../../../src/cluster/client/https/https-transport.js';
import type { ClusterAccess } from '../../../../src/cluster/client/kubeconfig.js';
import { PODS } from '../../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../../src/cluster/client/rest-client.js';
import { sleep, type ClusterEnv } from '../../../../src/cluster/env.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import type { Pod } from '../../../../src/gen/kube-core-v1.js';
import { until } from '../../../support/until.js';
import { podOf } from '../pods.js';
import {
  certificates,
  json,
  startRelay,
  startTlsServer,
  type Certificates,
  type TlsServer,
} from './tls-server.js';

async function failureOf(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('it did not fail');
}

/** The system's environment with a monotonic clock and timers that a test moves. */
function steppedEnv(): ClusterEnv & { step(ms: number): void; nextMs(): number } {
  let nowMs = 0;
  const timers = new Set<{ dueMs: number; callback: () => void }>();
  return {
    ...systemClusterEnv(),
    monoMs: () => nowMs,
    after: (delayMs, callback) => {
      const timer = { dueMs: nowMs + delayMs, callback };
      timers.add(timer);
      return { cancel: () => timers.delete(timer) };
    },
    nextMs: () => Math.min(...[...timers].map(({ dueMs }) => dueMs)) - nowMs,
    step: (ms) => {
      nowMs += ms;
      for (const timer of [...timers]) {
        if (timer.dueMs <= nowMs && timers.delete(timer)) timer.callback();
      }
    },
  };
}

describe('HTTPS transport', () => {
  let certs: Certificates;
  let server: TlsServer;
  const closing: { close(): void }[] = [];
  before(async () => {
    certs = await certificates();
  });
  beforeEach(async () => {
    server = await startTlsServer(certs);
  });
  afterEach(async () => {
    for (const one of closing.splice(0).reverse()) one.close();
    await server.close();
  });

  const connect = (
    change: Partial<ClusterAccess> = {},
    env: ClusterEnv = systemClusterEnv(),
  ): KubeClient => {
    const access = { ...server.access, ...change };
    const client = restClient(httpsTransport({ env, access, userAgent: 'tester/1.0' }));
    closing.push(client);
    return client;
  };

  it('sends method, path, query, headers and body, as the user of its certificate', async () => {
    server.respond = (stream, { body }) => json(stream, JSON.parse(body), 201);
    const pods = connect({ server: `${server.access.server}/prefix/` }).resource(PODS, 'default');
    const pod = podOf('a', { labels: { ü: '\n' } });
    expect(await pods.create(pod, { fieldManager: 'me' })).to.deep.equal(pod);
    const [{ method, path, headers, user, body } = server.received[0] ?? expect.fail()] =
      server.received;
    expect([method, path, user]).to.deep.equal([
      'POST',
      '/prefix/api/v1/namespaces/default/pods?fieldManager=me',
      'jane',
    ]);
    expect(headers).to.include({
      accept: 'application/json',
      'accept-encoding': 'gzip',
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      'user-agent': 'tester/1.0',
    });
    expect(headers).to.not.have.property('authorization');
  });

  it('takes answers in gzip, unless told not to ask for it', async () => {
    const pod = podOf('a');
    server.respond = (stream, { headers }) => {
      const isGzip = headers['accept-encoding'] === 'gzip';
      const encoding = isGzip ? { 'content-encoding': 'gzip' } : {};
      stream.respond({ ':status': 200, 'content-type': 'application/json', ...encoding });
      const bytes = Buffer.from(JSON.stringify(pod));
      stream.end(isGzip ? gzipSync(bytes) : bytes);
    };
    expect(await connect().resource(PODS, 'default').get('a')).to.deep.equal(pod);
    const plain = connect({ disableCompression: true }).resource(PODS, 'default');
    expect(await plain.get('a')).to.deep.equal(pod);
    expect(server.received.map(({ headers }) => headers['accept-encoding'])).to.deep.equal([
      'gzip',
      'identity',
    ]);
  });

  it('makes a Status an ApiError, with the time to wait', async () => {
    const { status } = apiError(429, 'TooManyRequests', 'too many requests');
    server.respond = (stream) => {
      stream.respond({ ':status': 429, 'content-type': 'application/json', 'retry-after': '7' });
      stream.end(JSON.stringify(status));
    };
    const error = await failureOf(connect().resource(PODS).list());
    expect(error).to.be.instanceOf(ApiError);
    expect((error as ApiError).status.details?.retryAfterSeconds).to.equal(7);
    expect(error.message).to.equal('too many requests');
  });

  it('makes the text of a proxy an ApiError, too', async () => {
    server.respond = (stream) => {
      stream.respond({ ':status': 502, 'content-type': 'text/plain' });
      stream.end('bad gateway\n');
    };
    const error = await failureOf(connect().getPath('/version'));
    expect([(error as ApiError).code, error.message]).to.deep.equal([502, 'bad gateway']);
  });

  it('gives text as text', async () => {
    server.respond = (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/plain; charset=utf-8' });
      stream.end('ok');
    };
    expect(await connect().getPath('/readyz?verbose=1')).to.equal('ok');
    expect(server.received[0]?.path).to.equal('/readyz?verbose=1');
  });

  it('trusts the named authority and names only, or everything when told so', async () => {
    const other = await certificates();
    const stranger = { certificateAuthority: Buffer.from(other.authority.certificate) };
    const untrusted = await failureOf(connect(stranger).getPath('/version'));
    expect(untrusted).to.be.instanceOf(TransportError);
    expect(untrusted.message).to.match(/GET \/version: .*certificate/);
    const wrongName = await failureOf(connect({ tlsServerName: 'other.test' }).getPath('/version'));
    expect(wrongName.message).to.contain('other.test');
    expect(await connect({ tlsServerName: 'api.test' }).getPath('/version')).to.deep.equal({});
    const blind = connect({ ...stranger, insecureSkipTlsVerify: true });
    expect(await blind.getPath('/version')).to.deep.equal({});
  });

  it('sends a token, and reads its file again after a while', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mainstay-token-'));
    try {
      const tokenFile = join(dir, 'token');
      const env = steppedEnv();
      const client = connect({ tokenFile, token: 'unused' }, env);
      const missing = await failureOf(client.getPath('/a'));
      expect(missing).to.be.instanceOf(TransportError);
      writeFileSync(tokenFile, 'first\n');
      await client.getPath('/a');
      writeFileSync(tokenFile, 'second\n');
      env.step(9999);
      await client.getPath('/b');
      env.step(1);
      await client.getPath('/c');
      rmSync(tokenFile);
      env.step(10_000);
      await client.getPath('/d');
      await connect({ token: 'fixed' }).getPath('/e');
    } finally {
      rmSync(dir, { recursive: true });
    }
    const sent = server.received.map(({ headers }) => headers.authorization);
    expect(sent).to.deep.equal([
      ...['Bearer first', 'Bearer first', 'Bearer second', 'Bearer second', 'Bearer fixed'],
    ]);
  });

  it('puts all calls on one connection, and more than its streams on another', async () => {
    const waiting: ServerHttp2Stream[] = [];
    server.respond = (stream) => void waiting.push(stream);
    const client = connect();
    const answers = Array.from({ length: 150 }, () => client.getPath('/version'));
    await until(() => waiting.length === 150);
    expect(server.sessions.size).to.equal(1);
    const more = Array.from({ length: 150 }, () => client.getPath('/version'));
    await until(() => waiting.length === 300);
    expect(server.sessions.size).to.equal(2);
    for (const stream of waiting) json(stream, {});
    await Promise.all([...answers, ...more]);
  });

  it('connects anew after the connection broke, failing what was on it', async () => {
    const client = connect();
    await client.getPath('/a');
    server.respond = (stream) => stream.session?.destroy();
    const error = await failureOf(client.getPath('/b'));
    expect(error).to.be.instanceOf(TransportError);
    expect(error.message).to.match(/^GET \/b: /);
    server.respond = (stream) => json(stream, {});
    await client.getPath('/c');
    const port = Number(new URL(server.access.server).port);
    await server.close();
    const refused = await failureOf(client.getPath('/d'));
    expect(refused).to.be.instanceOf(TransportError);
    expect(refused.message).to.contain('ECONNREFUSED');
    const again = await startTlsServer(certs, port);
    expect(await client.getPath('/e')).to.deep.equal({});
    await again.close();
  });

  it('leaves a connection that the server is about to close, and ends its calls there', async () => {
    const client = connect();
    let first: ServerHttp2Stream | undefined;
    server.respond = (stream) => {
      first = stream;
      stream.session?.goaway(constants.NGHTTP2_NO_ERROR);
    };
    const slow = client.getPath('/slow');
    await until(() => first !== undefined);
    const before = server.received[0]?.session;
    server.respond = (stream) => json(stream, {});
    await until(async () => {
      await client.getPath('/next');
      return server.received.at(-1)?.session !== before;
    });
    if (first !== undefined) json(first, { late: true });
    expect(await slow).to.deep.equal({ late: true });
  });

  it('repeats a call that the server did not begin with, three times at most', async () => {
    const client = connect();
    let refusals = 2;
    server.respond = (stream) => {
      if (refusals === 0) {
        json(stream, {});
        return;
      }
      refusals -= 1;
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
    };
    expect(await client.getPath('/a')).to.deep.equal({});
    expect(server.received).length(3);
    refusals = 3;
    expect((await failureOf(client.getPath('/b'))).message).to.contain('REFUSED_STREAM');
    expect(server.received).length(6);
  });

  it('gives up a connection whose server no longer answers', async () => {
    const env = steppedEnv();
    const relay = await startRelay(server);
    closing.push(relay);
    const client = connect(relay.access, env);
    server.respond = () => undefined;
    const hanging = failureOf(client.getPath('/version'));
    let hasFailed = false;
    void hanging.then(() => (hasFailed = true));
    await until(() => server.received.length === 1);
    for (let round = 0; round < 3; round += 1) {
      env.step(30_000);
      expect(env.nextMs(), 'an answer is waited for').to.equal(15_000);
      await until(() => env.nextMs() === 30_000);
    }
    relay.drop();
    env.step(30_000);
    env.step(14_999);
    await sleep(systemClusterEnv(), 0);
    expect(hasFailed).to.be.false;
    env.step(1);
    expect((await hanging).message).to.contain('no longer answers');
  });

  it('ends a call whose signal aborts', async () => {
    server.respond = () => undefined;
    const client = connect();
    const abort = new AbortController();
    const { signal } = abort;
    const hanging = failureOf(client.getPath('/version', { signal }));
    await until(() => server.received.length === 1);
    abort.abort();
    expect(await hanging).to.be.instanceOf(TransportError);
    expect(await failureOf(client.getPath('/version', { signal }))).to.be.instanceOf(
      TransportError,
    );
    expect(server.received).length(1);
  });

  it('fails a broken answer and one that is no JSON', async () => {
    const client = connect();
    server.respond = (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/json' });
      stream.write('{"kind":');
      setImmediate(() => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    };
    expect(await failureOf(client.getPath('/version'))).to.be.instanceOf(TransportError);
    server.respond = (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/json' });
      stream.end('{"kind":');
    };
    expect(await failureOf(client.getPath('/version'))).to.be.instanceOf(TransportError);
  });

  it('fails everything once it is closed', async () => {
    server.respond = () => undefined;
    const client = connect();
    const hanging = failureOf(client.getPath('/version'));
    await until(() => server.received.length === 1);
    client.close();
    expect(await hanging).to.be.instanceOf(TransportError);
    expect(await failureOf(client.getPath('/version'))).to.be.instanceOf(TransportError);
  });

  describe('watch', () => {
    const watching = (client: KubeClient, signal?: AbortSignal) => {
      const events: string[] = [];
      const ended = (async () => {
        const options = signal === undefined ? {} : { signal };
        for await (const { type, object } of client.resource(PODS).watch(options)) {
          const { metadata } = object as Pod;
          events.push(`${type} ${metadata.name} ${metadata.annotations?.['big']?.length ?? 0}`);
        }
        return 'ended';
      })();
      return { events, ended };
    };
    let stream: ServerHttp2Stream | undefined;
    beforeEach(() => {
      stream = undefined;
      server.respond = (opened) => {
        opened.respond({ ':status': 200, 'content-type': 'application/json' });
        stream = opened;
      };
    });
    const opened = async (): Promise<ServerHttp2Stream> => {
      await until(() => stream !== undefined);
      return stream ?? expect.fail('no stream');
    };
    const event = (name: string, big = 0): string => {
      const pod = podOf(name);
      pod.metadata.annotations = { big: 'ä'.repeat(big) };
      return `${JSON.stringify({ type: 'ADDED', object: pod })}\n`;
    };

    it('gives events however they are cut, also of a megabyte, until a clean end', async () => {
      const { events, ended } = watching(connect());
      const bytes = Buffer.from(event('a') + event('b', 600_000) + event('c', 3));
      const to = await opened();
      for (let from = 0; from < bytes.length; from += 9973) {
        to.write(bytes.subarray(from, from + 9973));
      }
      to.end();
      expect(await ended).to.equal('ended');
      expect(events).to.deep.equal(['ADDED a 0', 'ADDED b 600000', 'ADDED c 3']);
      expect(server.received[0]?.headers['accept-encoding']).to.equal('identity');
    });

    it('gives each event when it comes', async () => {
      const { events, ended } = watching(connect());
      const to = await opened();
      to.write(event('a'));
      await until(() => events.length === 1);
      to.write(event('b'));
      await until(() => events.length === 2);
      to.end();
      await ended;
    });

    it('rejects when it breaks, in the middle of an event or between two', async () => {
      for (const text of [event('a'), event('a').slice(0, 10)]) {
        stream = undefined;
        const { ended } = watching(connect());
        const failure = failureOf(ended);
        const to = await opened();
        to.write(text);
        setImmediate(() => to.session?.destroy());
        expect(await failure).to.be.instanceOf(TransportError);
      }
      stream = undefined;
      const { ended } = watching(connect());
      const failure = failureOf(ended);
      (await opened()).end(event('a').slice(0, 10));
      expect(await failure).to.be.instanceOf(TransportError);
    });

    it('ends quietly when its signal aborts or its loop is left, and tells the server', async () => {
      const abort = new AbortController();
      const { events, ended } = watching(connect(), abort.signal);
      const to = await opened();
      to.write(event('a'));
      await until(() => events.length === 1);
      abort.abort();
      expect(await ended).to.equal('ended');
      await until(() => to.closed);
      stream = undefined;
      const leaving = (async () => {
        for await (const { type } of connect().resource(PODS).watch()) return type;
        return 'none';
      })();
      const other = await opened();
      other.write(event('a'));
      expect(await leaving).to.equal('ADDED');
      await until(() => other.closed);
    });

    it('rejects with the Status of a refusal', async () => {
      const { status } = apiError(410, 'Expired', 'too old resource version: 1 (2)');
      server.respond = (refused) => json(refused, status, 410);
      const error = await failureOf(watching(connect()).ended);
      expect((error as ApiError).code).to.equal(410);
    });
  });
});
