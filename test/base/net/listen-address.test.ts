import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseServerUrl } from '../../../src/base/flags/url.js';
import { connectOptions, listenOn, listenOptions } from '../../../src/base/net/listen-address.js';

/** The error of listening, or the address. */
function listen(
  server: net.Server,
  text: string,
): Promise<Error | net.AddressInfo | string | null> {
  return new Promise((resolve) => {
    listenOn(server, listenOptions(parseServerUrl(text)), (error) =>
      resolve(error ?? server.address()),
    );
  });
}

function reach(options: net.NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(options);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

describe('where a URL listens', () => {
  const servers: net.Server[] = [];
  let dir = '';

  const serverFor = (): net.Server => {
    const server = net.createServer((socket) => socket.destroy());
    servers.push(server);
    return server;
  };

  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'listen-'))));
  afterEach(async () => {
    for (const server of servers.splice(0)) {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
    rmSync(dir, { recursive: true });
  });

  for (const text of ['http://0.0.0.0:0', 'http://[::]:0', 'http://:0']) {
    it(`is IPv4 and IPv6 for ${text}`, async () => {
      const address = await listen(serverFor(), text);
      const { port, family } = address as net.AddressInfo;
      expect(await reach({ port, host: '127.0.0.1' })).to.equal(true);
      // A machine without IPv6 has no ::1 to be reached at.
      expect(await reach({ port, host: '::1' })).to.equal(family === 'IPv6');
    });
  }

  it('is one address for a URL that names one', async () => {
    expect(await listen(serverFor(), 'http://127.0.0.1:0')).to.include({ address: '127.0.0.1' });
    expect(await listen(serverFor(), 'http://localhost:0')).to.include({ address: '127.0.0.1' });
  });

  it('is a file for a unix URL, named as the URL has it', () => {
    const path = (text: string): unknown => listenOptions(parseServerUrl(text)).path;
    expect(path('unix:///run/m.sock')).to.equal('/run/m.sock');
    expect(path('unix:/run/m.sock')).to.equal('/run/m.sock');
    expect(path('unix://localhost:2380')).to.equal('localhost:2380');
    expect(path('unix://m.sock:0')).to.equal('m.sock:0');
  });

  it('is refused for a path the system would cut', () => {
    expect(parseServerUrl(`unix:///${'a'.repeat(106)}`).host).to.have.length(107);
    expect(() => parseServerUrl(`unix:///${'a'.repeat(107)}`)).to.throw(/more than 107 bytes/);
    expect(() => parseServerUrl(`unix:///${'é'.repeat(54)}`)).to.throw(/more than 107 bytes/);
  });

  it('is reached through the same URL', async () => {
    const text = `unix://${dir}/m.sock`;
    expect(await listen(serverFor(), text)).to.equal(`${dir}/m.sock`);
    expect(await reach(connectOptions(parseServerUrl(text)))).to.equal(true);
    const address = await listen(serverFor(), 'http://127.0.0.1:0');
    const { port } = address as net.AddressInfo;
    expect(await reach(connectOptions(parseServerUrl(`http://127.0.0.1:${port}`)))).to.equal(true);
  });

  it('takes a socket file over that a dead process left', async () => {
    const path = join(dir, 'm.sock');
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    expect(() => execFileSync(process.execPath, ['-e', script], { stdio: 'ignore' })).to.throw();
    expect(existsSync(path)).to.equal(true);
    const server = serverFor();
    expect(await listen(server, `unix://${path}`)).to.equal(path);
    expect(await reach({ path })).to.equal(true);
    await new Promise((resolve) => server.close(resolve));
    servers.pop();
    expect(existsSync(path), 'after the end').to.equal(false);
  });

  it('leaves the socket of a living process and any other file alone', async () => {
    const path = join(dir, 'm.sock');
    await listen(serverFor(), `unix://${path}`);
    expect(await listen(serverFor(), `unix://${path}`)).to.include({ code: 'EADDRINUSE' });
    expect(await reach({ path })).to.equal(true);
    writeFileSync(join(dir, 'file'), 'content');
    expect(await listen(serverFor(), `unix://${dir}/file`)).to.include({ code: 'EEXIST' });
    expect(existsSync(join(dir, 'file'))).to.equal(true);
    mkdirSync(join(dir, 'folder'));
    expect(await listen(serverFor(), `unix://${dir}/folder`)).to.include({ code: 'EEXIST' });
    expect(await listen(serverFor(), `unix://${dir}/no/m.sock`)).to.be.instanceOf(Error);
  });
});
