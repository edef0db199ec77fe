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

  it('keeps connections, unread, until a server accepts', async () => {
    const port = await bind();
    const early = dial(port);
    early.write('early');
    await until(() => early.bytesWritten === 5 && !early.connecting);
    const later = dial(port);
    await until(() => !later.connecting);
    const heard: string[] = [];
    port.accept((socket) => {
      sockets.push(socket);
      expect(socket.bytesRead, 'nothing is read before').equal(0);
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
    const early = dial(port);
    const request = 'GET /waited HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n';
    let answer = '';
    early.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    early.write(request);
    await until(() => !early.connecting && early.bytesWritten === request.length);
    // By the time a later connection is there, the port could have read the request of the first.
    const later = dial(port);
    await until(() => !later.connecting);
    port.accept((socket) => http.emit('connection', socket));
    await until(() => answer.endsWith('/waited'));
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
