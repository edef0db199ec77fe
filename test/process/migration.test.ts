import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { EtcdClient } from '../../src/client/client.js';
import { contentOf, type Content } from '../support/content.js';
import { ServerProcesses, flagsOf, freePort, type Running } from '../support/server-processes.js';
import { until } from '../support/until.js';

/**
 * A data directory as mainstay 0.1.0 (commit ecb897f) left it when its process was killed and the
 * machine lost all unsynced bytes. It has several segments, a compaction asked for and done,
 * leases, and 16 entries that the image does not hold. content.json is the content that 0.1.0
 * itself serves from it.
 */
const FIXTURE = fileURLToPath(new URL('../fixtures/v0.1.0/', import.meta.url));
const FORMAT_AT = 8;

describe('a data directory of mainstay 0.1.0', function () {
  this.timeout(120_000);
  const servers = new ServerProcesses();
  const data = join(servers.dir, 'data');
  const wal = join(data, 'member', 'wal');
  const truth = JSON.parse(readFileSync(join(FIXTURE, 'content.json'), 'utf8')) as Content;

  before(() => {
    mkdirSync(data);
    execFileSync('tar', ['-xzf', join(FIXTURE, 'data-dir.tar.gz'), '-C', data]);
  });
  after(() => servers.stop());

  async function serve(work: (client: EtcdClient) => Promise<void>): Promise<void> {
    const port = await freePort();
    const server: Running = servers.mainstay(
      flagsOf('old', port, await freePort(), `--data-dir=${data}`),
    );
    await until(() => server.text.includes('ready to serve') || server.code !== undefined);
    expect(server.code, server.text).equal(undefined);
    const client = new EtcdClient(`127.0.0.1:${port}`);
    await work(client);
    client.close();
    await servers.end(server);
    expect(server.code).equal(0);
  }

  function formats(): number[] {
    return readdirSync(wal)
      .filter((name) => name.endsWith('.wal'))
      .sort()
      .map((name) => readFileSync(join(wal, name)).readUInt32LE(FORMAT_AT));
  }

  it('is served with the same content and continued in the new format', async () => {
    expect(new Set(formats())).deep.equal(new Set([1]));
    const before = formats().length;
    await serve(async (client) => {
      expect(await contentOf(client)).deep.equal(truth);
    });
    expect(formats().slice(-2)).deep.equal([1, 2]);
    expect(formats()).to.have.length(before + 1);
  });

  it('takes writes, and starts again with old and new content', async () => {
    const key = Buffer.from('new');
    await serve(async (client) => {
      await client.kv.put({ key, value: key });
    });
    await serve(async (client) => {
      const content = await contentOf(client);
      expect(content.revision).equal(truth.revision + 1);
      expect(content.kvs.filter((row) => !row.startsWith('new '))).deep.equal(truth.kvs);
      expect(content.leases).deep.equal(truth.leases);
    });
  });
});
