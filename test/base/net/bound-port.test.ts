import { expect } from 'chai';
import { createServer as createHttpServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { BoundPort } from '../../../src/base/net/bound-port.js';
import { until } from '../../support/until.js';

function bind(port = 0): Promise<BoundPort> {
  return new Promise((resolve, reject) => {
    BoundPort.bind({ where: { host: '127.0.0.1', port } }, (error, bound) =>
      bound === null ? reject(error ?? new Error('not bound')) : resolve(bound),
    );
  });
}

describe('BoundPort', () => {
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  function dial(port: BoundPort): Socket {
    const socket = connect(port.address?.port ?? 0, '127.0.0.1');
    socket.on('error', () => undefined);
    sockets.push(socket);
    return socket;
  }

  it('keeps connections and what they say until somebody accepts', async () => {
    const port = await bind();
    const early = dial(port);
    early.write('early');
    await until(() => early.bytesWritten === 5 && !early.connecting);
    const heard: string[] = [];
    port.accept((socket) => {
      sockets.push(socket);
      socket.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
    });
    await until(() => heard.includes('early'));
    dial(port).write('late');
    await until(() => heard.includes('late'));
    port.close();
  });

  it('hands connections that waited to node:http with every byte', async () => {
    const port = await bind();
    const http = createHttpServer((request, response) => response.end(request.url));
    const answer = fetch(`http://127.0.0.1:${port.address?.port ?? 0}/waited`);
    const second = dial(port);
    await until(() => !second.connecting);
    port.accept((socket) => http.emit('connection', socket));
    expect(await (await answer).text()).equal('/waited');
    port.close();
    http.closeAllConnections();
  });

  it('is taken from the moment it is bound, and free from the moment it is closed', async () => {
    const port = await bind();
    const { port: number = 0 } = port.address ?? {};
    const refusal = await bind(number).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(refusal).to.include({ code: 'EADDRINUSE' });
    const waiting = dial(port);
    await until(() => !waiting.connecting);
    port.close();
    await until(() => waiting.destroyed);
    (await bind(number)).close();
  });

  it('leaves out connections that ended while they waited', async () => {
    const port = await bind();
    const gone = dial(port);
    await until(() => !gone.connecting);
    gone.resetAndDestroy();
    const stays = dial(port);
    stays.write('stays');
    await until(() => stays.bytesWritten === 5);
    let heard = '';
    port.accept((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
    });
    await until(() => heard === 'stays');
    port.close();
  });
});
