import { expect } from 'chai';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { refuseIfBootstrapped } from '../../../src/server/config/already-bootstrapped.js';

const SELF = 2n ** 63n + 5n;

/** True if member SELF may join a cluster whose other member is at `url`. */
async function answerOf(url: string): Promise<string> {
  const bootstrap = {
    memberId: SELF,
    clusterId: 0xc1n,
    members: [
      { id: SELF, name: 'a', peerURLs: ['http://127.0.0.1:1'] },
      { id: 7n, name: 'b', peerURLs: [url] },
    ],
  };
  try {
    await refuseIfBootstrapped(bootstrap, '/data');
    return 'joins';
  } catch (error) {
    return String(error);
  }
}

describe('a member without data asks the others if it started before', () => {
  let server: Server;
  let dir = '';
  let clusterId = 'c1';
  let self = `{"id":${SELF},"clientURLs":["http://x:1"]}`;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'joins-'));
    clusterId = 'c1';
    self = `{"id":${SELF},"clientURLs":["http://x:1"]}`;
    server = createServer((request, response) => {
      response.setHeader('X-Etcd-Cluster-Id', clusterId);
      response.end(request.url === '/members' ? `[{"id":7},${self}]` : '');
    });
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true });
  });

  const overTcp = (): Promise<string> =>
    new Promise((resolve) =>
      server.listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      ),
    );
  const overFile = (): Promise<string> =>
    new Promise((resolve) => server.listen(join(dir, 's'), () => resolve(`unix://${dir}/s`)));

  for (const [name, listen] of [
    ['over TCP', overTcp],
    ['over a unix socket', overFile],
  ] as const) {
    it(`and is refused when it has started before, ${name}`, async () => {
      expect(await answerOf(await listen())).to.match(/has already been bootstrapped, but \/data/);
    });

    it(`and joins when it never has, or another cluster answers, ${name}`, async () => {
      const url = await listen();
      self = `{"id":${SELF}}`;
      expect(await answerOf(url)).to.equal('joins');
      self = `{"id":${SELF},"clientURLs":["http://x:1"]}`;
      clusterId = 'ee';
      expect(await answerOf(url)).to.equal('joins');
    });
  }

  it('and joins when no peer answers', async () => {
    await overTcp();
    expect(await answerOf('http://127.0.0.1:1')).to.equal('joins');
    expect(await answerOf(`unix://${dir}/nobody`)).to.equal('joins');
  });
});
