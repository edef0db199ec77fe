import { expect } from 'chai';
import { describeForAll, type Target } from './support/targets.js';

/** What is served over HTTP/1.1 on the client port besides the gateway. */

describeForAll('http', (target: Target) => {
  const itSince35 = target.isSince(5) ? it : (): void => undefined;

  async function ask(
    path: string,
    method = 'GET',
  ): Promise<{ status: number; type: string | null; body: string }> {
    const answer = await fetch(`http://${target.client.endpoint}${path}`, { method });
    return {
      status: answer.status,
      type: answer.headers.get('content-type'),
      body: await answer.text(),
    };
  }

  it('is healthy (row 121)', async () => {
    for (const path of ['/health', '/health?serializable=true', '/health?exclude=NOSPACE']) {
      const { status, body } = await ask(path);
      expect(status, path).to.equal(200);
      expect(JSON.parse(body), path).to.include({ health: 'true' });
    }
    expect((await ask('/health', 'POST')).status).to.equal(405);
  });

  itSince35('says no reason when healthy', async () => {
    const { body, type } = await ask('/health');
    expect(body).to.equal('{"health":"true","reason":""}');
    expect(type).to.match(/^text\/plain/);
  });

  itSince35('is alive and ready (row 122)', async () => {
    for (const path of [
      '/livez',
      '/readyz',
      '/livez/serializable_read',
      '/readyz/linearizable_read',
    ]) {
      expect(await ask(path), path).to.include({ status: 200, body: 'ok\n' });
    }
    const live = await ask('/livez?verbose');
    expect(live.body).to.contain('[+]serializable_read ok\n').and.match(/ok\n$/);
    const ready = (await ask('/readyz?verbose')).body;
    for (const check of ['data_corruption', 'serializable_read', 'linearizable_read']) {
      expect(ready).to.contain(`[+]${check} ok\n`);
    }
    const without = (await ask('/readyz?verbose&exclude=linearizable_read')).body;
    expect(without).to.not.contain('linearizable_read ok');
    expect((await ask('/livez', 'POST')).status).to.equal(405);
    expect((await ask('/livez/nonsense')).status).to.equal(404);
  });

  it('tells its version (row 123)', async () => {
    const { status, type, body } = await ask('/version');
    expect(status).to.equal(200);
    expect(type).to.match(/^application\/json/);
    const version = JSON.parse(body) as Record<string, string>;
    expect(version['etcdserver']).to.equal((await target.client.status()).version);
    expect(version['etcdcluster']).to.match(/^3[.]\d+[.]0$/);
    expect((await ask('/version', 'POST')).status).to.equal(405);
  });

  it('has metrics, and nothing at the root', async () => {
    const { status, type, body } = await ask('/metrics');
    expect(status).to.equal(200);
    expect(type).to.match(/^text\/plain/);
    for (const name of [
      'etcd_server_has_leader 1',
      'etcd_server_is_leader 1',
      'etcd_server_leader_changes_seen_total',
      'etcd_server_proposals_committed_total',
      'etcd_mvcc_db_total_size_in_bytes',
      'etcd_disk_wal_fsync_duration_seconds_bucket',
      'process_resident_memory_bytes',
    ]) {
      expect(body).to.contain(`\n${name}`);
    }
    expect(await ask('/')).to.include({ status: 404, body: '404 page not found\n' });
    expect((await ask('/no/such/path')).status).to.equal(404);
  });
});
