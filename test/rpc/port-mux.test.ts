import { expect } from 'chai';
import * as http from 'node:http';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import { join } from 'node:path';
import { PREFACE } from '../../src/rpc/http2/frames.js';
import type { ServiceTable } from '../../src/rpc/service.js';
import { RawClient, request as grpcRequest, settings } from './support/raw-client.js';
import { connect, makeGrpcJs, makeHttp2, startTransport, unary } from './support/transports.js';

const TABLE: ServiceTable = new Map([
  ['/test.Echo/Unary', { kind: 'unary', handle: (request, call) => call.reply(request.slice()) }],
]);

function get(options: http.RequestOptions, body?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.request({ agent: false, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => (text += part));
      response.on('end', () => resolve(text));
    });
    request.on('error', reject);
    request.end(body);
  });
}

describe('listenMux', () => {
  const httpServer = http.createServer((request, response) => {
    let size = 0;
    request.on('data', (part: Buffer) => (size += part.length));
    request.on('end', () => response.end(`${request.method} ${request.url} ${size}`));
  });
  const onHttp = (socket: net.Socket): void => {
    httpServer.emit('connection', socket);
  };

  it('serves gRPC and HTTP/1.1 on one port', async () => {
    const running = await startTransport(makeGrpcJs, { table: TABLE, onHttp });
    const client = connect(`127.0.0.1:${running.port}`);
    const result = await unary(client, '/test.Echo/Unary', Buffer.from('hello'));
    expect(result.reply.toString()).to.equal('hello');
    expect(await get({ port: running.port, path: '/health' })).to.equal('GET /health 0');
    const big = 'x'.repeat(300_000);
    for (const method of ['POST', 'PUT', 'PATCH', 'PROPFIND']) {
      const reply = await get({ port: running.port, path: '/v3/kv', method }, big);
      expect(reply).to.equal(`${method} /v3/kv 300000`);
    }
    client.close();
    await running.stop();
  });

  it('decides when the first bytes come one at a time', async () => {
    const running = await startTransport(makeGrpcJs, { table: TABLE, onHttp });
    const socket = net.connect(running.port, '127.0.0.1');
    socket.setNoDelay(true);
    const received = new Promise<string>((resolve) => {
      socket.once('data', (chunk) => resolve(chunk.toString('latin1')));
    });
    for (const char of 'PUT /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n') {
      await new Promise((resolve) => socket.write(char, resolve));
    }
    expect(await received).to.contain('200 OK');
    socket.destroy();
    await running.stop();
  });

  it('serves a call that comes with the preface, in one packet or cut anywhere in it', async () => {
    const running = await startTransport(makeHttp2, { table: TABLE, onHttp });
    const session = Buffer.concat([
      PREFACE,
      settings(),
      grpcRequest(1, '/test.Echo/Unary', Buffer.from('early')),
    ]);
    for (const cut of [0, 1, 3, 4, 10, PREFACE.length, PREFACE.length + 5]) {
      const client = await RawClient.connect(running.port);
      if (cut > 0) {
        await new Promise((resolve) => client.socket.write(session.subarray(0, cut), resolve));
      }
      client.send(session.subarray(cut));
      expect((await client.reply(1)).body.toString('latin1', 5)).to.equal('early');
      client.close();
    }
    await running.stop();
  });

  it('passes a WebSocket upgrade through, and later bytes both ways', async () => {
    const running = await startTransport(makeHttp2, { table: TABLE, onHttp });
    httpServer.once(
      'upgrade',
      (upgrade: http.IncomingMessage, socket: net.Socket, head: Buffer) => {
        const name = upgrade.headers['sec-websocket-protocol'] ?? '';
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Saw: ${name}\r\n\r\n`,
        );
        socket.write(head);
        socket.on('data', (chunk: Buffer) => socket.write(chunk));
        socket.on('end', () => socket.end());
      },
    );
    const client = http.request({
      port: running.port,
      path: '/v3/watch',
      agent: false,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Protocol': 'Bearer, token',
      },
    });
    client.end();
    const echoed = await new Promise<string>((resolve, reject) => {
      client.on('error', reject);
      client.on('upgrade', (response, socket) => {
        let text = `${response.statusCode} ${response.headers['x-saw']} `;
        socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
        socket.on('end', () => resolve(text));
        socket.write('frames');
        // Bytes that look like another protocol belong to this one by now.
        socket.end('PRI * HTTP/2.0');
      });
    });
    expect(echoed).to.equal('101 Bearer, token framesPRI * HTTP/2.0');
    const grpcClient = connect(`127.0.0.1:${running.port}`);
    const { reply } = await unary(grpcClient, '/test.Echo/Unary', Buffer.from('beside it'));
    expect(reply.toString()).to.equal('beside it');
    grpcClient.close();
    await running.stop();
  });

  it('listens on a unix socket', async () => {
    const directory = fs.mkdtempSync(join(os.tmpdir(), 'mux-'));
    const path = join(directory, 'sock');
    const running = await startTransport(makeGrpcJs, { table: TABLE, onHttp, path });
    const client = connect(`unix:${path}`);
    expect((await unary(client, '/test.Echo/Unary', Buffer.from('u'))).reply.toString()).to.equal(
      'u',
    );
    expect(await get({ socketPath: path, path: '/version' })).to.equal('GET /version 0');
    client.close();
    await running.stop();
    fs.rmSync(directory, { recursive: true });
  });

  it('reports a port that is taken', async () => {
    const running = await startTransport(makeGrpcJs, { table: TABLE });
    const taken = net.createServer();
    await new Promise<void>((resolve) => {
      taken.once('error', (error: NodeJS.ErrnoException) => {
        expect(error.code).to.equal('EADDRINUSE');
        resolve();
      });
      taken.listen(running.port, '127.0.0.1');
    });
    await running.stop();
  });

  it('closes a connection that opens with neither protocol, without a word', async () => {
    const running = await startTransport(makeHttp2, { table: TABLE, onHttp });
    const openings = [
      'INVALID CONNECTION PREFACE\r\n\r\n',
      '\r\n',
      'GET / HTTP/2.0\r\n',
      'GET /\r\n',
      'x'.repeat(4096),
      `GET /${'x'.repeat(4096)} HTTP/1.1\r\n`,
    ];
    for (const opening of openings) {
      const socket = net.connect(running.port, '127.0.0.1');
      let received = 0;
      socket.on('data', (chunk) => (received += chunk.length));
      socket.on('error', () => {});
      socket.write(opening);
      await new Promise((resolve) => socket.once('close', resolve));
      expect(received).to.equal(0);
    }
    await running.stop();
  });

  it('closes connections that are undecided when it stops', async () => {
    const running = await startTransport(makeGrpcJs, { table: TABLE, onHttp });
    const socket = net.connect(running.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    await new Promise((resolve) => socket.write('PR', resolve));
    await get({ port: running.port, path: '/' });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await running.stop();
    await closed;
  });
});
