import { expect } from 'chai';
import {
  decodeMemberListResponse,
  decodeRangeResponse,
  decodeStatusResponse,
  encodeAlarmRequest,
  encodeCompactionRequest,
  encodeLeaseGrantRequest,
  encodeMemberListRequest,
  encodePutRequest,
  encodeRangeRequest,
  encodeTxnRequest,
} from '../../../src/gen/rpc.js';
import { Status, type ServiceTable } from '../../../src/rpc/service.js';
import { errors } from '../../../src/server/contract/errors.js';
import { serviceTable } from '../../../src/server/services/table.js';
import { Machine, MemberBench } from '../member/member-bench.js';
import { callMethod, type RecordedCall } from '../../support/recorded-call.js';

const KV = '/etcdserverpb.KV/';
const MAINTENANCE = '/etcdserverpb.Maintenance/';
const REQUEST_TIMEOUT_MS = 7000;
const ELECTION_MS = 1000;

class Bench {
  readonly machine = new Machine();
  readonly bench: MemberBench;
  readonly table: ServiceTable;

  constructor(voters: number) {
    this.bench = new MemberBench(this.machine, voters);
    this.machine.env.settle();
    this.table = serviceTable(this.bench.running.roles, this.bench.running.machine, {
      maxTxnOps: 128,
      maxRequestBytes: 1_572_864,
      watchProgressIntervalMs: 60_000,
    });
  }

  /** Calls and gives the call time; it may be unanswered then. */
  call(path: string, request: Uint8Array, headers?: Record<string, string>): RecordedCall {
    const call = callMethod([...this.table], path, request, headers);
    this.machine.env.advance(20);
    return call;
  }

  put(key: string): RecordedCall {
    return this.call(
      `${KV}Put`,
      encodePutRequest({ key: Buffer.from(key), value: Buffer.from('v') }),
    );
  }

  becomeLearner(): void {
    const { machine, backend, memberId } = this.bench.running;
    const info = machine.members.get(memberId);
    if (info === undefined) throw new Error('not a member');
    machine.members.set(backend, { ...info, isLearner: true });
  }
}

const range = (serializable: boolean): Uint8Array =>
  encodeRangeRequest({ key: Buffer.from('k'), serializable });

describe('services of a member', () => {
  it('report sizes and indexes that fit together, from the start', () => {
    const b = new Bench(1);
    for (let i = 0; i < 3; i++) {
      const [reply] = b.call(`${MAINTENANCE}Status`, new Uint8Array(0)).written;
      const status = decodeStatusResponse(reply as Uint8Array);
      expect(status.dbSizeInUse).to.be.within(1, Math.max(1, status.dbSize));
      expect(status.raftAppliedIndex).to.be.at.most(status.raftIndex);
      expect(status.leader).to.equal(1n);
      expect(status.errors).to.deep.equal([]);
      b.put(`k${i}`);
    }
  });

  it('without a leader: status and local reads answer, the rest waits or is refused on demand', () => {
    const b = new Bench(3);
    const [reply] = b.call(`${MAINTENANCE}Status`, new Uint8Array(0)).written;
    const status = decodeStatusResponse(reply as Uint8Array);
    expect(status.leader).to.equal(0n);
    expect(status.errors).to.deep.equal(['etcdserver: no leader']);
    expect(b.call(`${KV}Range`, range(true)).written).to.have.length(1);
    expect(b.call(`${KV}Txn`, encodeTxnRequest({})).written).to.have.length(1);
    b.machine.env.advance(ELECTION_MS);
    const demanding = b.call(`${KV}Range`, range(true), { hasleader: 'true' });
    expect(demanding.error).to.equal(errors.noLeader);
    const put = b.put('k');
    const read = b.call(`${KV}Range`, range(false));
    expect([put.ended, read.ended]).to.deep.equal([false, false]);
    b.machine.env.advance(REQUEST_TIMEOUT_MS + 100);
    expect(put.error).to.equal(errors.deadlineExceeded);
    expect(read.error).to.equal(errors.timeout);
    // Only the member itself goes on trying: to publish its name.
    expect(b.bench.running.queue.pending).to.be.at.most(1);
  });

  it('refuse unary calls that require a leader as soon as etcd would: after one election timeout without one', () => {
    const b = new Bench(3);
    const demand = (): RecordedCall => b.call(`${KV}Range`, range(true), { hasleader: 'true' });
    b.machine.env.advance(ELECTION_MS - 200);
    expect(demand().written).to.have.length(1);
    b.machine.env.advance(200);
    expect(demand().error).to.equal(errors.noLeader);
    expect(b.call(`${KV}Range`, range(true), { hasleader: 'no' }).written).to.have.length(1);
  });

  it('refuse new streams that require a leader only after three election timeouts without one', () => {
    const b = new Bench(3);
    for (const path of ['/etcdserverpb.Watch/Watch', '/etcdserverpb.Lease/LeaseKeepAlive']) {
      expect(b.call(path, new Uint8Array(0), { hasleader: 'true' }).error).to.not.equal(
        errors.noLeader,
      );
    }
    b.machine.env.advance(3 * ELECTION_MS - 200);
    const late = callMethod([...b.table], '/etcdserverpb.Watch/Watch', undefined, {
      hasleader: 'true',
    });
    expect(late.ended).to.equal(false);
    b.machine.env.advance(200);
    const refused = callMethod([...b.table], '/etcdserverpb.Watch/Watch', undefined, {
      hasleader: 'true',
    });
    expect(refused.error).to.equal(errors.noLeader);
  });

  it('of a learner: status and serializable ranges only', () => {
    const b = new Bench(1);
    b.put('k');
    b.becomeLearner();
    const serializable = b.call(`${KV}Range`, range(true));
    expect(decodeRangeResponse(serializable.written[0] as Uint8Array).count).to.equal(1);
    expect(b.call(`${MAINTENANCE}Status`, new Uint8Array(0)).written).to.have.length(1);
    const refused = [
      b.call(`${KV}Range`, range(false)),
      b.call(`${KV}RangeStream`, range(true)),
      b.put('k'),
      b.call(`${KV}Txn`, encodeTxnRequest({})),
      b.call('/etcdserverpb.Lease/LeaseGrant', encodeLeaseGrantRequest({ TTL: 10 })),
      b.call('/etcdserverpb.Lease/LeaseKeepAlive', new Uint8Array(0)),
      b.call('/etcdserverpb.Watch/Watch', new Uint8Array(0)),
      b.call('/etcdserverpb.Cluster/MemberList', encodeMemberListRequest({})),
      b.call('/grpc.health.v1.Health/Check', new Uint8Array(0)),
    ];
    for (const call of refused) expect(call.error).to.equal(errors.notSupportedForLearner);
  });

  it('refuse bytes that are no request, and go on', () => {
    const b = new Bench(1);
    const torn = Uint8Array.of(0x0a, 0xff);
    for (const method of ['Range', 'Put', 'DeleteRange', 'Txn', 'Compact', 'RangeStream']) {
      const { error } = b.call(KV + method, torn);
      expect(error?.code, method).to.equal(Status.internal);
      expect(error?.message).to.include('unmarshalling');
    }
    expect(b.put('k').error).to.equal(undefined);
  });

  it('answer a physical compaction when the history is gone, and at once when it is already', () => {
    const b = new Bench(1);
    for (let i = 0; i < 5; i++) b.put('k');
    const compact = (revision: number, physical: boolean): RecordedCall =>
      b.call(`${KV}Compact`, encodeCompactionRequest({ revision, physical }));
    const zero = compact(0, true);
    b.machine.env.advance(200);
    expect([zero.error, zero.ended]).to.deep.equal([undefined, true]);
    expect(compact(0, false).error).to.equal(errors.compacted);
    const { store } = b.bench.running;
    const release = store.pin(3);
    const waiting = compact(5, true);
    b.machine.env.advance(1000);
    expect(waiting.ended).to.equal(false);
    release();
    b.machine.env.advance(1000);
    expect([waiting.error, waiting.ended]).to.deep.equal([undefined, true]);
    expect(compact(5, true).error).to.equal(errors.compacted);
    expect(compact(99, true).error).to.equal(errors.futureRevision);
    const local = compact(6, false);
    expect([local.error, local.ended]).to.deep.equal([undefined, true]);
  });

  it('give one answer to a RangeStream, however many requests come', () => {
    const b = new Bench(1);
    b.put('k');
    const request = encodeRangeRequest({ key: Buffer.from('k') });
    const call = callMethod([...b.table], `${KV}RangeStream`, request);
    call.send(request);
    b.machine.env.advance(20);
    expect(call.written).to.have.length(1);
    expect(call.ended).to.equal(true);
    expect(b.bench.running.store.isPinnedBelow(Infinity)).to.equal(false);
    const sorted = encodeRangeRequest({ key: Buffer.from('k'), sortOrder: 2 });
    expect(b.call(`${KV}RangeStream`, sorted).error).to.equal(errors.rangeStreamSort);
    const filtered = encodeRangeRequest({ key: Buffer.from('k'), minModRevision: 1 });
    expect(b.call(`${KV}RangeStream`, filtered).error).to.equal(errors.rangeStreamFilters);
  });

  it('refuse an unknown alarm action', () => {
    const b = new Bench(1);
    const call = b.call(`${MAINTENANCE}Alarm`, encodeAlarmRequest({ action: 3 }));
    expect(call.error?.code).to.equal(Status.invalidArgument);
  });

  it('list the members without a revision', () => {
    const b = new Bench(1);
    for (const linearizable of [true, false]) {
      const call = b.call(
        '/etcdserverpb.Cluster/MemberList',
        encodeMemberListRequest({ linearizable }),
      );
      const { header, members } = decodeMemberListResponse(call.written[0] as Uint8Array);
      expect(header?.revision).to.equal(0);
      expect(header?.raftTerm).to.equal(2);
      expect(members.map((m) => [m.ID, m.name])).to.deep.equal([[1n, 'm1']]);
    }
  });
});
