import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { expect } from 'chai';
import { sendText } from '../../../src/base/net/respond.js';
import { cleanPath, router, type HttpHandler } from '../../../src/base/net/router.js';

describe('cleanPath', () => {
  const cases: [string, string][] = [
    ['/', '/'],
    ['//', '/'],
    ['/a', '/a'],
    ['/a/', '/a/'],
    ['//a//b//', '/a/b/'],
    ['/./a/.', '/a'],
    ['/a/../b', '/b'],
    ['/../../a', '/a'],
    ['/a/..', '/'],
    ['/%2e%2e/a', '/%2e%2e/a'],
    ['/...', '/...'],
  ];
  for (const [path, clean] of cases) {
    it(`${path} -> ${clean}`, () => expect(cleanPath(path)).equal(clean));
  }
});

describe('router', () => {
  let server: Server;
  const echo: HttpHandler = (_request, response, { path, query }) =>
    sendText(response, 200, `${path} ${query.toString()}`);

  beforeEach(async () => {
    const listener = router(
      new Map([
        ['/echo', echo],
        ['/a b', echo],
      ]),
    );
    // Clients of a raw socket end after one answer.
    server = createServer({ keepAliveTimeout: 1 }, listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach((done) => {
    server.closeAllConnections();
    server.close(() => done());
  });

  /** The raw answer to a request line: other clients clean paths themselves. */
  function ask(line: string, more = ''): Promise<string> {
    const { port } = server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString('latin1')));
      socket.on('end', () => resolve(text));
      socket.on('error', reject);
      socket.write(`${line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${more}\r\n`);
    });
  }
  const header = (answer: string, name: string): string | undefined =>
    new RegExp(`^${name}: (.*)\r$`, 'im').exec(answer)?.[1];
  const status = (answer: string): number => Number(answer.split(' ')[1]);

  it('serves exact paths, decoded, with their query', async () => {
    expect(await ask('GET /echo?a=1&a=2')).match(/^HTTP\/1.1 200[^]*\r\n\r\n\/echo a=1&a=2$/);
    expect(status(await ask('GET /ech%6f'))).equal(200);
    expect(await ask('GET /a%20b')).match(/\/a b $/);
    expect(status(await ask('GET http://other.example:1/echo'))).equal(200);
    expect(status(await ask('GET /echo/'))).equal(404);
    expect(status(await ask('GET /%2fecho'))).equal(404);
    expect(status(await ask('GET /%2e/echo'))).equal(404);
    expect(status(await ask('GET http://other.example'))).equal(404);
  });

  it('redirects a path to its clean form, with or without a route', async () => {
    const answer = await ask('GET //echo?a=b');
    expect(status(answer)).equal(301);
    expect(header(answer, 'Location')).equal('/echo?a=b');
    expect(header(answer, 'Content-Type')).equal('text/html; charset=utf-8');
    expect(answer).match(/\r\n\r\n<a href="\/echo\?a=b">Moved Permanently<\/a>\.\n\n$/);
    expect(header(await ask('GET //nowhere/'), 'Location')).equal('/nowhere/');
    expect(header(await ask('GET //echo?'), 'Location')).equal('/echo');
    expect(header(await ask('GET http://other.example//echo'), 'Location')).equal('/echo');
  });

  it('keeps what a client encoded, and hides markup', async () => {
    const answer = await ask("GET //a%20b?x=%22&y='<b>");
    expect(header(answer, 'Location')).equal("/a%20b?x=%22&y='%3Cb%3E");
    expect(answer).contain('<a href="/a%20b?x=%22&amp;y=&#39;%3Cb%3E">');
  });

  it('redirects other methods without a body', async () => {
    const post = await ask('POST //echo', 'Content-Length: 2\r\n');
    expect([status(post), header(post, 'Content-Length')]).deep.equal([301, '0']);
    expect(header(post, 'Content-Type')).equal(undefined);
    const head = await ask('HEAD //echo');
    expect([status(head), header(head, 'Content-Type')]).deep.equal([
      301,
      'text/html; charset=utf-8',
    ]);
    expect(head.endsWith('\r\n\r\n')).equal(true);
  });

  it('refuses targets that are no paths', async () => {
    expect(status(await ask('GET *'))).equal(400);
    expect(status(await ask('GET /%zz'))).equal(400);
    expect(status(await ask('GET /%ff'))).equal(400);
  });
});
