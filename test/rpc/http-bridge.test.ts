import { expect } from 'chai';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import { bridgeToHttp1 } from '../../src/rpc/http-bridge.js';
import { Http2Transport } from '../../src/rpc/http2/http2-transport.js';
import { startTransport, until, type Running } from './support/transports.js';

describe('bridgeToHttp1', () => {
  let running: Running;
  let session: http2.ClientHttp2Session;
  let handle: http.RequestListener = () => {};
  const server = http.createServer((request, response) => handle(request, response));

  before(async () => {
    const onHttpRequest = bridgeToHttp1((socket) => server.emit('connection', socket));
    running = await startTransport((setup) => new Http2Transport({ ...setup, onHttpRequest }), {
      table: new Map(),
    });
    session = http2.connect(`http://127.0.0.1:${running.port}`);
  });

  after(async () => {
    session.destroy();
    await running.stop();
  });

  interface Answer {
    readonly headers: http2.IncomingHttpHeaders;
    readonly body: Buffer;
  }

  function send(headers: http2.OutgoingHttpHeaders, body?: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const stream = session.request(headers);
      const parts: Buffer[] = [];
      let received: http2.IncomingHttpHeaders = {};
      stream.on('response', (answer) => (received = answer));
      stream.on('data', (part: Buffer) => parts.push(part));
      stream.on('end', () => resolve({ headers: received, body: Buffer.concat(parts) }));
      stream.on('error', reject);
      stream.end(body);
    });
  }

  it('carries method, path, headers and body both ways', async () => {
    handle = (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        response.writeHead(202, {
          'x-seen': request.headers['x-sent'] ?? '',
          'Set-Cookie': ['a', 'b'],
        });
        response.end(`${request.method} ${request.url} ${Buffer.concat(parts).length}`);
      });
    };
    const sent = { ':path': '/v3/kv/range?x=1', ':method': 'POST', 'x-sent': 'yes' };
    const { headers, body } = await send(sent, Buffer.alloc(50_000));
    expect(headers[':status']).to.equal(202);
    expect(headers['x-seen']).to.equal('yes');
    expect(headers['set-cookie']).to.eql(['a', 'b']);
    expect(headers['connection']).to.equal(undefined);
    expect(body.toString()).to.equal('POST /v3/kv/range?x=1 50000');
    expect((await send({ ':path': '/health' })).body.toString()).to.equal('GET /health 0');
  });

  it('leaves out fields that concern the connection or would confuse it', async () => {
    handle = (request, response) => response.end(JSON.stringify(request.headers));
    const { headers, body } = await send({
      ':path': '/',
      ':authority': 'db.example',
      trailer: 'x-later',
      expect: '200-maybe',
      te: 'trailers',
      'x-twice': ['a', 'b'],
    });
    expect(headers[':status']).to.equal(200);
    expect(JSON.parse(body.toString())).to.eql({
      host: 'db.example',
      connection: 'close',
      'content-length': '0',
      'x-twice': 'a, b',
    });
  });

  it('streams long answers', async () => {
    handle = (request, response) => {
      request.setTimeout(60_000);
      let left = 200;
      const more = (): void => {
        while (left > 0) {
          left--;
          if (!response.write(Buffer.alloc(20_000, left))) {
            response.once('drain', more);
            return;
          }
        }
        response.end();
      };
      more();
    };
    const { body } = await send({ ':path': '/long' });
    expect(body).to.have.length(4_000_000);
    expect(body.at(-1)).to.equal(0);
  });

  it('delivers each part of an answer as it is written', async () => {
    let write: (text: string) => void = () => {};
    let closed = false;
    handle = (request, response) => {
      response.writeHead(200);
      write = (text) => response.write(text);
      request.on('close', () => (closed = true));
      response.on('close', () => (closed = true));
      write('first');
    };
    const stream = session.request({ ':path': '/v3/watch' });
    stream.on('error', () => {});
    let text = '';
    stream.on('data', (part: Buffer) => (text += part.toString()));
    await until(() => text === 'first', 'the first part arrives');
    write('second');
    await until(() => text === 'firstsecond', 'the second part arrives');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await until(() => closed, 'the HTTP side hears that the client left');
  });

  it('answers 400 to requests that HTTP/1.1 cannot carry, and 502 when the server hangs up', async () => {
    handle = (request) => request.socket.destroy();
    const space = await send({ ':path': '/with space' });
    expect(space.headers[':status']).to.equal(400);
    const cut = await send({ ':path': '/' });
    expect(cut.headers[':status']).to.equal(502);
  });
});
