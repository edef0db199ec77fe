import { expect } from 'chai';
import { decodeWatchResponse, encodeWatchRequest } from '../../../src/gen/rpc.js';
import type { WatchCreateRequestInit, WatchResponse } from '../../../src/gen/rpc.js';
import { watchService } from '../../../src/server/services/watch.js';
import { FakeMember } from '../../support/fake-member.js';
import { callMethod, type RecordedCall } from '../../support/recorded-call.js';

const WATCH = '/etcdserverpb.Watch/Watch';
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');

describe('Watch service', () => {
  let member: FakeMember;
  let seen: number;

  beforeEach(() => {
    member = new FakeMember();
    seen = 0;
  });

  function open(headers?: Record<string, string>): RecordedCall {
    const options = { progressIntervalMs: 10, maxRequestBytes: 1000 };
    return callMethod(watchService(member.roles, options), WATCH, undefined, headers);
  }

  function create(call: RecordedCall, createRequest: WatchCreateRequestInit): void {
    call.send(encodeWatchRequest({ createRequest }));
  }

  function put(...keys: string[]): void {
    const changes = keys.map((key) => ({ type: 'put' as const, key }));
    const events = member.source.commit(changes);
    member.hub.notify(member.source.currentRevision, events);
    member.env.settle();
  }

  function take(call: RecordedCall): WatchResponse[] {
    const fresh = call.written.slice(seen).map((message) => decodeWatchResponse(message));
    seen = call.written.length;
    return fresh;
  }

  function keysSeen(call: RecordedCall): string[] {
    return take(call).flatMap((r) => r.events.map((e) => Buffer.from(e.kv?.key ?? []).toString()));
  }

  it('watches one key, with the header of the member', () => {
    const call = open();
    create(call, { key: bytes('a') });
    put('a', 'b');
    const [created, events] = take(call);
    expect([created?.created, created?.watchId]).deep.equals([true, 0n]);
    expect(events?.header).deep.equals({
      clusterId: 22n,
      memberId: 11n,
      revision: 2,
      raftTerm: 3,
    });
    expect(events?.events.length).equals(1);
  });

  it('reads range_end as Range does, and an empty key as the smallest', () => {
    const cases: [WatchCreateRequestInit, string[]][] = [
      [{ key: bytes('b'), rangeEnd: bytes('d') }, ['b', 'c']],
      [{ key: bytes('b'), rangeEnd: bytes('\0') }, ['b', 'c', 'd']],
      [{ key: bytes(''), rangeEnd: bytes('\0') }, ['\0', 'a', 'b', 'c', 'd']],
      [{ key: bytes('') }, ['\0']],
      [{ key: bytes(''), rangeEnd: bytes('b') }, ['\0', 'a']],
    ];
    for (const [request, expected] of cases) {
      seen = 0;
      const call = open();
      create(call, request);
      put('\0', 'a', 'b', 'c', 'd');
      expect(keysSeen(call)).deep.equals(expected);
    }
  });

  it('refuses an interval without keys', () => {
    const call = open();
    create(call, { key: bytes('b'), rangeEnd: bytes('a') });
    create(call, { key: bytes('b'), rangeEnd: bytes('b') });
    expect(take(call).map((r) => [r.watchId, r.cancelReason])).deep.equals([
      [-1n, 'mvcc: watcher range is empty'],
      [-1n, 'mvcc: watcher range is empty'],
    ]);
    expect(call.ended).equals(false);
  });

  it('passes filters, prev_kv, ids and cancels on', () => {
    const call = open();
    create(call, { key: bytes('a'), filters: [0], watchId: 5n });
    create(call, { key: bytes('a'), prevKv: true });
    put('a');
    put('a');
    const events = take(call).filter((r) => r.events.length > 0);
    expect(events.map((r) => r.watchId)).deep.equals([0n, 0n]);
    expect(events[1]?.events[0]?.prevKv?.modRevision).equals(2);
    call.send(encodeWatchRequest({ cancelRequest: { watchId: 5n } }));
    call.send(encodeWatchRequest({ progressRequest: {} }));
    call.send(encodeWatchRequest({}));
    expect(take(call).map((r) => [r.watchId, r.canceled])).deep.equals([
      [5n, true],
      [-1n, false],
    ]);
  });

  it('raises a progress interval below 100 ms', () => {
    const call = open();
    create(call, { key: bytes('a'), progressNotify: true });
    member.env.advance(99);
    expect(take(call).length).equals(1);
    member.env.advance(12);
    expect(take(call).length).equals(1);
  });

  it('goes on after the client half-closes', () => {
    const call = open();
    create(call, { key: bytes('a') });
    call.halfClose();
    put('a');
    expect(keysSeen(call)).deep.equals(['a']);
    expect(call.ended).equals(false);
  });

  it('forgets the watchers of a client that goes away', () => {
    const call = open();
    create(call, { key: bytes('a'), progressNotify: true });
    call.cancel();
    expect([member.hub.watcherCount, member.hub.streamCount]).deep.equals([0, 0]);
    expect(member.env.timerCount).equals(0);
  });

  it('reads no requests and sends no events while the client does not read', () => {
    const call = open();
    create(call, { key: bytes('a') });
    call.pause();
    put('a');
    expect(call.isHeldUp).equals(true);
    for (let i = 0; i < 100; i++) put('a');
    expect(call.written.length).equals(1);
    call.resume();
    member.env.settle();
    expect(call.isHeldUp).equals(false);
    expect(keysSeen(call).length).equals(101);
  });

  describe('with many requests of one stream', () => {
    const COUNT = 5000;

    /** Sends as a transport does: no more while the call is paused. Returns the most handled in one turn. */
    function sendAll(call: RecordedCall, requests: readonly Uint8Array[]): number {
      let most = 0;
      let sent = 0;
      for (;;) {
        const before = member.hub.watcherCount;
        while (sent < requests.length && !call.isHeldUp) call.send(requests[sent++] as Uint8Array);
        const isGoing = member.env.turn();
        most = Math.max(most, Math.abs(member.hub.watcherCount - before));
        if (!isGoing && sent === requests.length) return most;
      }
    }

    it('handles few of them in a turn, all of them in their order', () => {
      const call = open();
      // Every look at the clock finds a fifth of a turn gone.
      member.env.msPerLook = 0.4;
      const requests: Uint8Array[] = [];
      for (let i = 0; i < COUNT; i++) {
        requests.push(encodeWatchRequest({ createRequest: { key: bytes(`k${i}`) } }));
        if (i % 10 === 9) {
          requests.push(encodeWatchRequest({ cancelRequest: { watchId: BigInt(i - 5) } }));
          requests.push(encodeWatchRequest({ progressRequest: {} }));
        }
      }
      expect(sendAll(call, requests)).lessThan(100);
      const answers = take(call).map((r) => [r.watchId, r.canceled]);
      const expected: [bigint, boolean][] = [];
      for (let i = 0; i < COUNT; i++) {
        expected.push([BigInt(i), false]);
        if (i % 10 === 9) expected.push([BigInt(i - 5), true], [-1n, false]);
      }
      expect(answers).deep.equals(expected);
      expect(member.hub.watcherCount).equals(COUNT - COUNT / 10);
    });

    it('drops those that wait when the client goes away', () => {
      const call = open();
      member.env.msPerLook = 5;
      for (let i = 0; i < 60; i++) create(call, { key: bytes(`k${i}`) });
      expect(call.written.length).lessThan(60);
      call.cancel();
      member.env.settle();
      expect([member.hub.watcherCount, member.hub.streamCount]).deep.equals([0, 0]);
    });

    it('reads on only when there is room for answers and few requests wait', () => {
      const call = open();
      member.env.msPerLook = 5;
      for (let i = 0; i < 70; i++) create(call, { key: bytes('a') });
      expect(call.isHeldUp).equals(true);
      call.pause();
      member.env.settle();
      // The answers fill the client's room, and what is read already is handled.
      expect(member.hub.watcherCount).lessThan(70);
      expect(call.isHeldUp).equals(true);
      call.resume();
      member.env.settle();
      expect(member.hub.watcherCount).equals(70);
      expect(call.isHeldUp).equals(false);
    });
  });

  it('ends with "no leader" after three election timeouts without one, if the client asked', () => {
    const asked = open({ hasleader: 'true' });
    const other = open();
    create(asked, { key: bytes('a') });
    member.env.advance(1500);
    member.leaderlessSinceMs = member.env.nowMs;
    member.env.advance(2900);
    expect(asked.ended).equals(false);
    member.env.advance(1100);
    expect([asked.error?.code, asked.error?.message]).deep.equals([14, 'etcdserver: no leader']);
    expect(other.ended).equals(false);
    expect(member.hub.watcherCount).equals(0);
    expect(member.env.timerCount).equals(0);
  });

  it('keeps a stream that requires a leader while outages are short', () => {
    const call = open({ hasleader: 'true' });
    for (let i = 0; i < 5; i++) {
      member.leaderlessSinceMs = member.env.nowMs;
      member.env.advance(2500);
      member.leaderlessSinceMs = undefined;
      member.env.advance(1000);
    }
    expect(call.ended).equals(false);
  });

  it('ends with "server stopped" when the hub closes', () => {
    const call = open();
    create(call, { key: bytes('a') });
    member.hub.close();
    expect([call.error?.code, call.error?.message]).deep.equals([14, 'etcdserver: server stopped']);
  });

  it('ends at a message that is none', () => {
    const call = open();
    call.send(Uint8Array.of(0x0a, 0x7f, 0x01));
    expect(call.error?.code).equals(13);
    expect(member.hub.streamCount).equals(0);
  });

  it('a refused watch leaves the others of its stream alone', () => {
    const call = open();
    create(call, { key: bytes('a') });
    create(call, { key: bytes('b'), rangeEnd: bytes('a') });
    create(call, { key: bytes('a'), startRevision: -3 });
    take(call);
    put('a');
    expect(keysSeen(call)).deep.equals(['a']);
  });
});
