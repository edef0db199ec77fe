import { expect } from 'chai';
import { rmSync } from 'node:fs';
import { startCluster, until, type TestCluster } from '../support/servers.js';

/** A member that lost its data could vote twice and forget what it acknowledged: it must not come back under its old id. */
describe('a member whose data directory is gone', function () {
  this.timeout(120_000);
  let cluster: TestCluster;

  before(async () => {
    cluster = await startCluster({ kind: 'mainstay', size: 3 });
  });

  after(async function () {
    await cluster.stop(this.currentTest?.state === 'failed');
  });

  it('is refused by its peers, and the others go on', async () => {
    const victim = cluster.member(0);
    await victim.kill();
    rmSync(victim.dataDir, { recursive: true });
    victim.start();
    await until('the wiped member has ended', () =>
      /has already been bootstrapped/.test(victim.log) ? true : null,
    );
    expect(victim.log).to.match(/must not come back under its old id/);
    await cluster.member(1).healthy();
  });
});
