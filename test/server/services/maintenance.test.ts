import { expect } from 'chai';
import {
  decodeHashKVResponse,
  encodeHashKVRequest,
  encodePutRequest,
} from '../../../src/gen/rpc.js';
import { Backend } from '../../../src/storage/backend.js';
import { errors } from '../../../src/server/contract/errors.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import { maintenanceService } from '../../../src/server/services/maintenance.js';
import { MemoryEngine } from '../../support/memory-engine.js';
import { MachineBench } from '../apply/machine-bench.js';
import { FakeMember } from '../../support/fake-member.js';
import { callMethod, type RecordedCall } from '../../support/recorded-call.js';

const KEYS = 200;

function benchWithKeys(): MachineBench {
  const bench = new MachineBench(5);
  for (let i = 0; i < KEYS; i++) {
    const request = encodePutRequest({ key: Buffer.from(`k${i}`), value: Buffer.alloc(2000, i) });
    bench.apply(CommandKind.put, request, false);
  }
  bench.env.settle();
  // Not flushed yet: the hash has to wait for it.
  const txn = bench.store.begin();
  txn.put('last', Buffer.from('last'), Buffer.alloc(10), 0n);
  txn.end();
  return bench;
}

function askHash({ store }: MachineBench, revision = 0): RecordedCall {
  const { roles } = new FakeMember();
  const reads = { ...roles.reads, store };
  const headers = {
    ...roles.headers,
    fields: (at = store.currentRevision) => roles.headers.fields(at),
  };
  const request = encodeHashKVRequest({ revision });
  return callMethod(
    maintenanceService({ ...roles, reads, headers }),
    '/etcdserverpb.Maintenance/HashKV',
    request,
  );
}

describe('HashKV', () => {
  it('ends with an error when a received snapshot replaces the state at any moment', () => {
    let failed = 0;
    let answered = 0;
    for (let steps = 0; answered === 0; steps++) {
      const bench = benchWithKeys();
      const { env, store, backend: old } = bench;
      const call = askHash(bench);
      if (steps > 0) old.flush();
      for (let i = 0; i < steps; i++) env.step();
      const isAnswered = call.written.length > 0;
      const backend = new Backend({ engine: new MemoryEngine(env), env });
      // The new state is in place before, or after, the old one is closed.
      if (steps % 2 === 0) old.close(() => undefined);
      store.restore(backend, (error) => {
        expect(error).equal(null);
        if (steps % 2 === 1) old.close(() => undefined);
      });
      env.settle();
      if (isAnswered) {
        answered++;
        const { hashRevision } = decodeHashKVResponse(call.written[0] ?? new Uint8Array());
        expect(hashRevision).equal(KEYS + 2);
      } else {
        failed++;
        expect(call.error, `after ${steps} steps`).equal(errors.leaderChanged);
      }
      expect(call.written.length).equal(isAnswered ? 1 : 0);
      // Later questions are answered from the new state.
      const again = askHash(bench);
      env.settle();
      const { hashRevision } = decodeHashKVResponse(again.written[0] ?? new Uint8Array());
      expect(hashRevision).equal(1);
    }
    expect(failed).greaterThan(2);
  });

  it('names the revision that was hashed, beside any writes', () => {
    for (const revision of [0, 5]) {
      const bench = benchWithKeys();
      const current = bench.store.currentRevision;
      const call = askHash(bench, revision);
      const put = encodePutRequest({ key: Buffer.from('later') });
      for (let i = 0; i < 20; i++) {
        bench.apply(CommandKind.put, put, false);
        bench.env.step();
      }
      bench.env.settle();
      const { header, hashRevision } = decodeHashKVResponse(call.written[0] ?? new Uint8Array());
      // Asked at a revision, etcd names the one that was current then.
      expect(header?.revision).equal(current);
      expect(hashRevision).equal(revision === 0 ? current : revision);
    }
  });

  it('is answered once', () => {
    const { env, store, backend: old } = benchWithKeys();
    let answers = 0;
    store.hashKV(0, () => answers++);
    old.flush();
    env.settle();
    expect(answers).equal(1);
    const backend = new Backend({ engine: new MemoryEngine(env), env });
    store.restore(backend, () => undefined);
    env.settle();
    expect(answers).equal(1);
  });
});
