/** The HTTP/1.1 server answers as the one of etcd does, which is Go's. */
import { expect } from 'chai';
import * as net from 'node:net';
import { createHttp1Server } from '../../src/rpc/http1-server.js';

describe('createHttp1Server', () => {
  const server = createHttp1Server((request, response) => response.end(`for ${request.url}`));
  let port = 0;

  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
  });

  after(() => {
    server.close();
    server.closeAllConnections();
  });

  /**
   * All bytes of the server after `request` until it closes, or has answered `answers` requests.
   */
  function exchange(request: string, answers = 1): Promise<string> {
    const socket = net.connect(port, '127.0.0.1');
    let text = '';
    return new Promise((resolve) => {
      const finish = (): void => {
        socket.destroy();
        resolve(text);
      };
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        if (text.split('for /').length > answers) finish();
      });
      socket.on('end', finish);
      socket.write(request);
    });
  }

  for (const [what, headers, reason] of [
    ['two Host headers', 'Host: a\r\nhost: a\r\n', 'Bad Request'],
    ['no Host header', 'Accept: */*\r\n', 'Bad Request: missing required Host header'],
    ['a host with a blank', 'Host: a b\r\n', 'Bad Request: malformed Host header'],
    ['a host with a quote', 'Host: a"b\r\n', 'Bad Request: malformed Host header'],
  ] as const) {
    it(`refuses ${what} with 400, and closes`, async () => {
      const text = await exchange(`GET / HTTP/1.1\r\n${headers}\r\n`);
      expect(text).to.match(new RegExp(`^HTTP/1.1 400 ${reason}\r\n`));
      expect(text).to.contain('Content-Type: text/plain; charset=utf-8\r\n');
      expect(text).to.contain('Connection: close\r\n');
      expect(text.slice(text.indexOf('\r\n\r\n') + 4)).to.equal(`400 ${reason}`);
    });
  }

  for (const [what, version, headers] of [
    ['a host with a port', '1.1', 'Host: etcd-0.example:2379\r\n'],
    ['an IPv6 address', '1.1', 'Host: [fe80::1%25eth0]:2379\r\n'],
    ['an empty host', '1.1', 'Host:\r\n'],
    ['no host in HTTP/1.0', '1.0', ''],
  ] as const) {
    it(`serves ${what}`, async () => {
      const text = await exchange(`GET /path HTTP/${version}\r\n${headers}\r\n`);
      expect(text).to.match(/^HTTP\/1.1 200 OK\r\n/);
    });
  }

  it('announces no end of an idle connection, and has none', async () => {
    const get = 'GET /path HTTP/1.1\r\nHost: a\r\n\r\n';
    const text = await exchange(get + get, 2);
    expect(text).to.contain('Connection: keep-alive\r\n');
    expect(text).not.to.match(/keep-alive: *timeout/i);
    expect(server.keepAliveTimeout).to.equal(0);
    expect(server.requestTimeout).to.equal(0);
    expect(server.headersTimeout).to.equal(300_000);
  });
});
