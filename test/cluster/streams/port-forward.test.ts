import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, connect as dial, type AddressInfo, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClusterEnv } from '../../../src/cluster/env.js';
import { servePortForward } from '../../../src/cluster/streams/port-forward.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { until } from '../../support/until.js';
import { duplexPair } from './duplex-pair.js';
import { SpdyClient } from './spdy-client.js';

describe('cluster/streams/port-forward', () => {
  let echo: Server;
  let port: number;

  before(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.write('welcome ');
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    port = (echo.address() as AddressInfo).port;
  });

  after(async () => {
    echo.close();
    await once(echo, 'close');
  });

  async function connectTcp(target: number): Promise<Duplex> {
    const socket = dial({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  }

  function serve(
    connect = connectTcp,
    env: ClusterEnv = systemClusterEnv(),
  ): { client: SpdyClient; end: () => void } {
    const [near, far] = duplexPair();
    const end = servePortForward(env, far, connect);
    return { client: new SpdyClient(near), end };
  }

  function openPair(client: SpdyClient, requestid: string, target: number): [number, number] {
    const headers = { port: String(target), requestid };
    const error = client.open({ ...headers, streamtype: 'error' });
    client.send(error, '', true);
    return [error, client.open({ ...headers, streamtype: 'data' })];
  }

  it('carries several connections, each to its end', async () => {
    const { client, end } = serve();
    const pairs = ['0', '1', '2'].map((id) => openPair(client, id, port));
    pairs.forEach(([, data], i) => client.send(data, `text ${i}`, true));
    for (const [i, [error, data]] of pairs.entries()) {
      await until(() => client.ended.has(data) && client.ended.has(error));
      expect(client.received.get(data)).to.equal(`welcome text ${i}`);
      expect(client.received.get(error)).to.equal('');
    }
    end();
    await until(() => client.goAways.length === 1);
  });

  it('tells on the error stream that nobody listens, and goes on', async () => {
    const { client, end } = serve((target) =>
      target === 1 ? Promise.reject(new Error('connection refused')) : connectTcp(target),
    );
    const [error, data] = openPair(client, '0', 1);
    await until(() => client.ended.has(error) && client.ended.has(data));
    expect(client.received.get(error)).to.equal('connection refused');
    const [, next] = openPair(client, '1', port);
    client.send(next, 'x', true);
    await until(() => client.ended.has(next));
    expect(client.received.get(next)).to.equal('welcome x');
    end();
  });

  it('closes the connection to the pod when the client resets its stream', async () => {
    const targets: Duplex[] = [];
    const { client, end } = serve(async (target) => {
      const socket = await connectTcp(target);
      targets.push(socket);
      return socket;
    });
    const [, data] = openPair(client, '0', port);
    await until(() => client.received.get(data) === 'welcome ');
    client.raw(Buffer.from([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, data, 0, 0, 0, 5]));
    await until(() => targets[0]?.destroyed === true);
    end();
  });

  it('resets streams that name no port, no type, or the same pair twice', async () => {
    const { client, end } = serve();
    const bad = [
      client.open({ streamtype: 'data', requestid: '0' }),
      client.open({ streamtype: 'data', requestid: '0', port: '70000' }),
      client.open({ streamtype: 'other', requestid: '0', port: '80' }),
    ];
    client.open({ streamtype: 'error', requestid: '1', port: '80' });
    bad.push(client.open({ streamtype: 'error', requestid: '1', port: '80' }));
    await until(() => bad.every((id) => client.resets.get(id) === 5));
    end();
  });

  it('gives up a stream whose other half does not come', async () => {
    const timers: (() => void)[] = [];
    const env = systemClusterEnv();
    const manual: ClusterEnv = {
      ...env,
      after: (_delayMs, callback) => {
        timers.push(callback);
        return { cancel: () => undefined };
      },
    };
    const { client, end } = serve(connectTcp, manual);
    const id = client.open({ streamtype: 'data', requestid: '0', port: String(port) });
    await until(() => client.replied.has(id));
    expect(timers).to.have.length(1);
    timers.forEach((run) => run());
    await until(() => client.resets.has(id));
    end();
  });
});
