import { expect } from 'chai';
import {
  decodeRangeRequest,
  decodeRangeStreamResponse,
  encodePutRequest,
  encodeRangeRequest,
  encodeRangeResponse,
  type RangeRequest,
  type RangeRequestInit,
  type RangeResponseInit,
} from '../../../src/gen/rpc.js';
import { Backend } from '../../../src/storage/backend.js';
import type { StreamCall, UnaryCall } from '../../../src/rpc/service.js';
import { intervalOf } from '../../../src/server/contract/interval.js';
import { errors } from '../../../src/server/contract/errors.js';
import { CommandKind } from '../../../src/server/contract/command.js';
import type { ReadRoles } from '../../../src/server/reads/range-read.js';
import { answerRange } from '../../../src/server/reads/range-read.js';
import { answerRangeStream } from '../../../src/server/reads/range-stream.js';
import { randomOf } from '../../watch/fakes.js';
import { MemoryEngine } from '../../support/memory-engine.js';
import { Draw } from '../apply/commands.js';
import { Call } from './slow-call.js';
import { CLUSTER_ID, MachineBench, MEMBER_ID, slowReads, TERM } from '../apply/machine-bench.js';
import { Model, rangeOf } from '../apply/model.js';
import { decodePutRequest } from '../../../src/gen/rpc.js';

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9));
const TARGET_BYTES = 64 * 1024;

class Bench {
  readonly machine: MachineBench;
  readonly model = new Model();
  readonly roles: ReadRoles;

  constructor(seed: number) {
    this.machine = new MachineBench(seed);
    this.roles = slowReads(this.machine);
  }

  put(key: string, value: string): void {
    const request = encodePutRequest({ key: Buffer.from(key), value: Buffer.from(value) });
    this.machine.apply(CommandKind.put, request);
    this.model.put(decodePutRequest(request));
  }

  fill(count: number, valueBytes: number): void {
    for (let i = 0; i < count; i++) {
      this.put(`k${String(i).padStart(6, '0')}`, `${i}`.padEnd(valueBytes, 'x'));
    }
    this.machine.env.settle();
  }

  request(init: RangeRequestInit): RangeRequest {
    return decodeRangeRequest(encodeRangeRequest(init));
  }

  ask(init: RangeRequestInit): Call {
    const call = new Call();
    const r = this.request(init);
    answerRange(this.roles, r, intervalOf(r.key, r.rangeEnd), call as unknown as UnaryCall);
    return call;
  }

  askStream(init: RangeRequestInit): Call {
    const call = new Call();
    answerRangeStream(this.roles, this.request(init), TARGET_BYTES, call as unknown as StreamCall);
    return call;
  }

  expected(init: RangeRequestInit): Buffer {
    return Buffer.from(encodeRangeResponse(this.response(init)));
  }

  response(init: RangeRequestInit): RangeResponseInit {
    const r = this.request(init);
    const { model } = this;
    const state = r.revision > 0 ? model.states[r.revision] : model.state;
    const header = {
      clusterId: CLUSTER_ID,
      memberId: MEMBER_ID,
      revision: model.revision,
      raftTerm: TERM,
    };
    return { header, ...rangeOf(state ?? new Map<string, never>(), r) };
  }

  get isPinned(): boolean {
    return this.machine.store.isPinnedBelow(Infinity);
  }

  /** As when a received snapshot takes the place of everything. */
  replaceState(): void {
    const { env, store } = this.machine;
    env.wait<null>((done) => {
      store.restore(new Backend({ engine: new MemoryEngine(env), env }), (error) =>
        done(error, null),
      );
    });
  }
}

const ALL = { key: Buffer.from('\0'), rangeEnd: Buffer.from('\0') };

describe('ranges for clients', function () {
  this.timeout(30_000);

  it(`equal the model for any request (SEED=${SEED})`, () => {
    const d = new Draw(randomOf(SEED));
    const bench = new Bench(SEED);
    for (let i = 0; i < 150; i++) {
      const request = encodePutRequest({
        ...d.put(),
        lease: 0n,
        ignoreLease: false,
        ignoreValue: false,
      });
      bench.machine.apply(CommandKind.put, request);
      bench.model.put(decodePutRequest(request));
    }
    for (let i = 0; i < 1500; i++) {
      const init = d.range(bench.model.revision);
      const call = bench.ask(init);
      bench.machine.env.settle();
      if ((init.revision ?? 0) > bench.model.revision) {
        expect(call.error).to.equal(errors.futureRevision);
      } else {
        expect(call.whole?.toString('hex')).to.equal(bench.expected(init).toString('hex'));
      }
      expect(bench.isPinned).to.equal(false);
    }
  });

  describe('longer than is held in memory', () => {
    let bench: Bench;
    before(() => {
      bench = new Bench(1);
      bench.fill(2600, 4000);
    });

    const shapes: readonly [string, RangeRequestInit][] = [
      ['in key order', ALL],
      ['cut by a limit', { ...ALL, limit: 1500 }],
      ['with a limit that is not reached', { ...ALL, limit: 5000 }],
      ['in descending order', { ...ALL, sortOrder: 2 }],
      [
        'filtered and sorted',
        { ...ALL, sortOrder: 2, sortTarget: 3, minModRevision: 500, limit: 2000 },
      ],
    ];
    for (const [name, init] of shapes) {
      it(`are streamed, ${name}: the bytes announced, and no part large`, () => {
        const call = bench.ask(init);
        bench.machine.env.settle();
        expect(call.whole).to.equal(undefined);
        expect(bench.isPinned).to.equal(true);
        const { env } = bench.machine;
        expect(call.pull(env)).to.equal(true);
        const expected = bench.expected(init);
        expect(call.totalBytes).to.equal(expected.length);
        expect(call.bytes.equals(expected)).to.equal(true);
        expect(Math.max(...call.parts.map((part) => part.length))).to.be.lessThan(70 * 1024);
        expect(bench.isPinned).to.equal(false);
        expect(call.pull(env, Infinity)).to.equal(true);
      });
    }

    it('are answered at the revision at which they began, beside writes and compactions', () => {
      const other = new Bench(2);
      other.fill(1500, 4000);
      const call = other.ask(ALL);
      const expected = other.expected(ALL);
      other.machine.env.step();
      other.put('k000700', 'new');
      other.put('k0007001', 'added');
      other.machine.store.compact(other.model.revision);
      other.machine.env.settle();
      call.pull(other.machine.env, 5);
      other.put('k001400', 'new');
      other.machine.env.settle();
      expect(call.pull(other.machine.env)).to.equal(true);
      expect(call.bytes.equals(expected)).to.equal(true);
      other.machine.env.settle();
      expect(other.machine.store.finishedCompactRevision).to.equal(
        other.machine.store.compactRevision,
      );
    });

    it('let go of their revision when the client goes, at any moment', () => {
      for (let steps = 0; steps < 14; steps++) {
        const call = bench.ask({ ...ALL, sortOrder: steps % 2 === 0 ? 0 : 2 });
        for (let i = 0; i < steps; i++) bench.machine.env.step();
        call.cancel();
        call.source?.abort();
        bench.machine.env.settle();
        expect(bench.isPinned, `after ${steps} steps`).to.equal(false);
      }
      const call = bench.ask(ALL);
      bench.machine.env.settle();
      call.pull(bench.machine.env, 3);
      expect(call.source?.next(() => expect.fail('nobody waits any more'))).to.equal(null);
      call.source?.abort();
      expect(bench.isPinned).to.equal(false);
      bench.machine.env.settle();
    });

    it('that need only their keys are not', () => {
      const init = { ...ALL, keysOnly: true };
      const call = bench.ask(init);
      bench.machine.env.settle();
      expect(call.whole?.equals(bench.expected(init))).to.equal(true);
    });
  });

  it('fail when a received snapshot replaces the state under them', () => {
    const bench = new Bench(3);
    bench.fill(600, 100);
    const call = bench.ask(ALL);
    bench.replaceState();
    bench.machine.env.settle();
    expect(call.whole).to.equal(undefined);
    expect(call.error).to.equal(errors.leaderChanged);
  });

  it('end early when a received snapshot replaces the state under a streamed reply', () => {
    const bench = new Bench(4);
    bench.fill(1500, 4000);
    const call = bench.ask(ALL);
    bench.machine.env.settle();
    const { env } = bench.machine;
    call.pull(env, 5);
    let isThere = false;
    expect(call.source?.next(() => (isThere = true))).to.equal(null);
    bench.replaceState();
    env.settle();
    expect(isThere).to.equal(true);
    const release = bench.machine.store.pin(bench.model.revision);
    expect(call.pull(env)).to.equal(true);
    expect(call.bytes.length).to.be.lessThan(call.totalBytes);
    // A release that belongs to the old state leaves the pins of the new one.
    expect(bench.isPinned).to.equal(true);
    release();
    expect(bench.isPinned).to.equal(false);
  });

  describe('as a stream of chunks', () => {
    function joined(call: Call): Buffer {
      const responses = call.written.map((bytes) => decodeRangeStreamResponse(bytes).rangeResponse);
      responses.slice(0, -1).forEach((response) => {
        expect(response?.header).to.equal(undefined);
        expect([response?.more, response?.count]).to.deep.equal([false, 0]);
      });
      const last = responses.at(-1);
      const kvs = responses.flatMap((response) => response?.kvs ?? []);
      return Buffer.from(encodeRangeResponse({ ...last, kvs }));
    }

    const shapes: readonly [string, RangeRequestInit][] = [
      ['everything', ALL],
      ['nothing', { key: Buffer.from('x') }],
      ['one key', { key: Buffer.from('k000003') }],
      ['a limit', { ...ALL, limit: 777 }],
      ['a limit of exactly all', { ...ALL, limit: 3000 }],
      ['only the count', { ...ALL, countOnly: true }],
      ['only the keys', { ...ALL, keysOnly: true }],
      ['an old revision', { ...ALL, revision: 50 }],
    ];
    let bench: Bench;
    before(() => {
      bench = new Bench(5);
      bench.fill(3000, 50);
    });
    for (const [name, init] of shapes) {
      it(`joined equal the Range answer: ${name}`, () => {
        const call = bench.askStream(init);
        bench.machine.env.settle();
        expect(call.hasEnded).to.equal(true);
        expect(joined(call).equals(bench.expected(init))).to.equal(true);
        expect(bench.isPinned).to.equal(false);
      });
    }

    it('wait for a client that does not read, and let go when it leaves', () => {
      const call = bench.askStream(ALL);
      call.hasRoom = false;
      bench.machine.env.settle();
      const { length } = call.written;
      expect(length).to.be.lessThan(5);
      call.becomeWritable();
      call.becomeWritable();
      bench.machine.env.settle();
      expect(call.written.length).to.equal(length + 1);
      expect(bench.isPinned).to.equal(true);
      call.cancel();
      expect(bench.isPinned).to.equal(false);
    });

    it('fail when a received snapshot replaces the state', () => {
      const other = new Bench(6);
      other.fill(3000, 50);
      const call = other.askStream(ALL);
      other.replaceState();
      other.machine.env.settle();
      expect(call.hasEnded).to.equal(false);
      expect(call.error).to.equal(errors.leaderChanged);
    });
  });
});
