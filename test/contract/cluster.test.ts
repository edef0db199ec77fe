import { expect } from 'chai';
import { decodeHealthCheckResponse, encodeHealthCheckRequest } from '../../src/gen/health.js';
import { decodeAuthStatusResponse, encodeAuthenticateRequest } from '../../src/gen/rpc.js';
import { bytes, describeForAll, freshPrefix, refusal, type Target } from './support/targets.js';

/** Maintenance, Cluster, Auth switched off, and health, over the wire. */

const COMPACTED = '11 etcdserver: mvcc: required revision has been compacted';
const FUTURE = '11 etcdserver: mvcc: required revision is a future revision';

describeForAll('cluster', (target: Target) => {
  const itSince35 = target.isSince(5) ? it : (): void => undefined;

  const healthOf = async (service: string): Promise<number> =>
    decodeHealthCheckResponse(
      await target.client.unary(
        '/grpc.health.v1.Health/Check',
        encodeHealthCheckRequest({ service }),
      ),
    ).status;

  it('reports its status', async () => {
    const status = await target.client.maintenance.status();
    expect(status.version).to.match(/^3[.]\d+[.]\d+/);
    expect(status.leader).to.equal(status.header?.memberId);
    expect(status.raftTerm).to.equal(status.header?.raftTerm);
    expect(status.raftTerm).to.be.at.least(2);
    expect(status.raftIndex).to.be.at.least(status.raftAppliedIndex);
    expect(status.raftAppliedIndex).to.be.greaterThan(0);
    expect(status.dbSize).to.be.greaterThan(0);
    expect(status.dbSize).to.be.at.least(status.dbSizeInUse);
    expect(status.errors).to.deep.equal([]);
    expect(status.isLearner).to.equal(false);
  });

  if (target.isSince(6)) {
    it('reports the fields that only 3.6 has', async () => {
      const status = await target.client.maintenance.status();
      const [, minor] = status.version.split('.').map(Number);
      expect(minor).to.be.at.least(6);
      expect(status.dbSizeQuota).to.equal(2 ** 31);
      expect(status.downgradeInfo?.enabled).to.equal(false);
    });
  }

  it('lists its members, with a header without revision', async () => {
    for (const linearizable of [true, false]) {
      const list = await target.client.cluster.memberList({ linearizable });
      expect(list.members).to.have.length(1);
      const [member] = list.members;
      expect(member?.ID).to.equal(list.header?.memberId);
      expect(member?.name).to.equal('n1');
      expect(member?.clientURLs).to.deep.equal([`http://${target.client.endpoints[0]}`]);
      expect(member?.isLearner).to.equal(false);
      expect(list.header?.revision).to.equal(0);
      expect(list.header?.raftTerm).to.be.greaterThan(0);
    }
  });

  it('hashes within bounds', async () => {
    const key = bytes(freshPrefix());
    const first = (await target.client.kv.put({ key })).header?.revision ?? 0;
    const second = (await target.client.kv.put({ key })).header?.revision ?? 0;
    await target.client.kv.compact({ revision: first, physical: true });
    const newest = await target.client.maintenance.hashKv(0);
    expect(newest.compactRevision).to.equal(first);
    expect(newest.header?.revision).to.equal(second);
    expect((await target.client.maintenance.hashKv(second)).hash).to.equal(newest.hash);
    expect(await refusal(target.client.maintenance.hashKv(second + 1))).to.equal(FUTURE);
    expect(await refusal(target.client.maintenance.hashKv(first - 1))).to.equal(COMPACTED);
  });

  it('has no alarms', async () => {
    for (const alarm of [0, 1, 2]) {
      const reply = await target.client.maintenance.alarm({ action: 0, alarm });
      expect(reply.alarms).to.deep.equal([]);
    }
  });

  itSince35('reports that authentication is off', async () => {
    const reply = decodeAuthStatusResponse(
      await target.client.unary('/etcdserverpb.Auth/AuthStatus', new Uint8Array(0)),
    );
    expect(reply).to.include({ enabled: false, authRevision: 1 });
  });

  it('refuses to authenticate while authentication is off', async () => {
    const call = target.client.unary(
      '/etcdserverpb.Auth/Authenticate',
      encodeAuthenticateRequest({ name: 'root', password: 'x' }),
    );
    expect(await refusal(call)).to.equal('9 etcdserver: authentication is not enabled');
  });

  it('is healthy, and has no service by name', async () => {
    expect(await healthOf('')).to.equal(1);
    expect(await refusal(healthOf('other'))).to.equal('5 unknown service');
  });

  it('serves clients that require a leader', async () => {
    const metadata = { hasleader: 'true' };
    await target.client.kv.range({ key: bytes('a') }, { metadata });
    await target.client.kv.put({ key: bytes(freshPrefix()) }, { metadata });
  });
});
