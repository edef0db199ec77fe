import { expect } from 'chai';
import { decodePeerHelloReply } from '../../../src/gen/peer.js';
import { FrameType } from '../../../src/server/peer/frames.js';
import { BACKOFF_MAX_MS, CHALLENGE_MS, LOG_BURST_LINES } from '../../../src/server/peer/limits.js';
import { ManualEnv } from '../member/manual-env.js';
import type { NodeOptions, RawConnection } from './harness.js';
import { RawMember, TestNode, dialRaw, until } from './harness.js';

const MINUTE_MS = 60_000;

describe('two processes with one identity', () => {
  let env: ManualEnv;
  let nodes: TestNode[] = [];
  let raw: RawMember | undefined;

  beforeEach(() => (env = new ManualEnv()));

  afterEach(async () => {
    const closed = Promise.all(nodes.map((node) => node.close()));
    env.settle();
    await closed;
    await raw?.close();
    nodes = [];
    raw = undefined;
  });

  /** A node whose time is `env`'s. */
  async function make(id: bigint, options: NodeOptions = {}): Promise<TestNode> {
    const node = await new TestNode(id, { env, ...options }).start();
    nodes.push(node);
    return node;
  }

  /** As `until`, while the time of `env` stands still. */
  function meanwhile(what: string, condition: () => boolean): Promise<void> {
    return until(what, () => {
      env.settle();
      return condition();
    });
  }

  /** Lets time pass in small steps, each with turns of the event loop for what the sockets do. */
  async function pass(ms: number, stepMs = 100): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      env.advance(stepMs);
      for (let turn = 0; turn < 8; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
        env.settle();
      }
    }
  }

  function outcomeOf(connection: RawConnection): { ok: boolean; error: string } | undefined {
    const [frame] = connection.received(FrameType.helloReply);
    return frame === undefined ? undefined : decodePeerHelloReply(frame.body);
  }

  const isUp = (node: TestNode, to: bigint): boolean =>
    node.transport.connectedSince(to) !== undefined;

  it('do not cut the connection of the first, and the second gets the reason, in few lines', async () => {
    const other = await make(2n);
    const first = await make(1n, { incarnation: 11 });
    const second = await make(1n, { incarnation: 22 });
    other.transport.setPeers([first.address], []);
    first.transport.setPeers([other.address], []);
    await meanwhile('connection', () => isUp(first, 2n) && isUp(other, 1n));
    const since = first.transport.connectedSince(2n);
    second.transport.setPeers([other.address], []);
    await meanwhile('refusal', () => second.logged(/cannot connect/).length === 1);
    await pass(MINUTE_MS);
    expect(first.transport.connectedSince(2n)).to.equal(since);
    expect(isUp(second, 2n)).to.equal(false);
    expect(first.logged(/lost the connection/)).to.deep.equal([]);
    const reason = /another process answers for member 1: two processes run with one identity/;
    expect(other.logged(reason)).to.have.length(1);
    expect(second.logged(reason)).to.have.length(1);
    expect([...other.logs, ...first.logs, ...second.logs]).to.have.length.at.most(8);
  });

  it('against a member that cuts one for the other make few attempts and few lines', async () => {
    let latest: RawConnection | undefined;
    raw = await new RawMember({ ok: true }, (connection) => {
      latest?.destroy();
      latest = connection;
    }).listen();
    const first = await make(1n, { incarnation: 11 });
    const second = await make(1n, { incarnation: 22 });
    for (const node of [first, second]) {
      node.transport.setPeers([{ id: 2n, urls: raw.urls }], []);
    }
    const attempts = (): number => raw?.connections.length ?? 0;
    const losses = (): number =>
      [first, second].flatMap((node) => node.logged(/lost the connection/)).length;
    await meanwhile('one of them cut twice', () => losses() >= 3);
    for (let turn = 0; turn < 200; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      env.settle();
    }
    // Two links that were short lead to a pause, which does not end while time stands still.
    const beforeTimePasses = attempts();
    expect(beforeTimePasses).to.be.at.most(8);
    await pass(MINUTE_MS);
    expect(attempts()).to.be.greaterThan(beforeTimePasses + 20);
    expect(attempts()).to.be.at.most(beforeTimePasses + (4 * MINUTE_MS) / BACKOFF_MAX_MS + 20);
    for (const node of [first, second]) {
      expect(node.logged(/lost the connection/)).to.have.length.at.most(2 * LOG_BURST_LINES);
      expect(node.logs).to.have.length.at.most(6 * LOG_BURST_LINES);
    }
  });

  it('are reported where one dials and the other is dialled', async () => {
    const other = await make(2n);
    const first = await make(1n, { incarnation: 11 });
    const second = await make(1n, { incarnation: 22 });
    other.transport.setPeers([second.address], []);
    second.transport.setPeers([{ id: 2n, urls: [] }], []);
    first.transport.setPeers([other.address], []);
    await meanwhile('connections', () => isUp(first, 2n) && isUp(other, 1n));
    await pass(4000);
    expect(other.logged(/two processes/)).to.deep.equal([]);
    await pass(20_000);
    expect(other.logged(/a member has two processes/)).to.have.length(1);
  });

  it('are not seen in a member that restarted', async () => {
    const other = await make(2n);
    const first = await make(1n, { incarnation: 11 });
    other.transport.setPeers([first.address], []);
    first.transport.setPeers([other.address], []);
    await meanwhile('connections', () => isUp(first, 2n) && isUp(other, 1n));
    const { port } = first;
    const closed = first.close();
    env.settle();
    await closed;
    const again = await make(1n, { incarnation: 22, port });
    again.transport.setPeers([other.address], []);
    await meanwhile('connection', () => isUp(again, 2n));
    await pass(10_000);
    expect(isUp(other, 1n) && isUp(again, 2n)).to.equal(true);
    expect([...other.logged(/process.*identity/), ...again.logged(/refused/)]).to.deep.equal([]);
  });

  describe('a second hello', () => {
    async function incumbent(newestVersion = 2): Promise<[TestNode, RawConnection]> {
      const node = await make(2n);
      node.transport.setPeers([{ id: 1n, urls: [] }], []);
      const connection = dialRaw(node, { from: 1n, incarnation: 11, newestVersion });
      await meanwhile('accepted', () => outcomeOf(connection)?.ok === true);
      return [node, connection];
    }

    it('of the same process takes the place of the first at once', async () => {
      const [node, old] = await incumbent();
      const next = dialRaw(node, { from: 1n, incarnation: 11 });
      await meanwhile('accepted', () => outcomeOf(next)?.ok === true);
      await meanwhile('the old one closed', () => old.isClosed);
      next.destroy();
    });

    it('of another process takes it when the first shows no life in time', async () => {
      const [node, old] = await incumbent();
      const next = dialRaw(node, { from: 1n, incarnation: 22 });
      await meanwhile('challenge', () => old.received(FrameType.ping).length === 1);
      env.advance(CHALLENGE_MS - 1);
      expect([outcomeOf(next), old.isClosed]).to.deep.equal([undefined, false]);
      env.advance(1);
      await meanwhile('accepted', () => outcomeOf(next)?.ok === true);
      await meanwhile('the old one closed', () => old.isClosed);
      next.destroy();
    });

    it('of another process takes it when the first closes meanwhile', async () => {
      const [node, old] = await incumbent();
      const next = dialRaw(node, { from: 1n, incarnation: 22 });
      await meanwhile('challenge', () => old.received(FrameType.ping).length === 1);
      old.destroy();
      await meanwhile('accepted', () => outcomeOf(next)?.ok === true);
      next.destroy();
    });

    for (const [what, kind] of [
      ['messages', 'messages'],
      ['a snapshot', 'snapshot'],
    ] as const) {
      it(`of another process, for ${what}, is refused when the first answers`, async () => {
        const [node, old] = await incumbent();
        const next = dialRaw(node, { from: 1n, incarnation: 22, kind });
        await meanwhile('challenge', () => old.received(FrameType.ping).length === 1);
        old.send(FrameType.pong, new Uint8Array(0));
        await meanwhile('refused', () => outcomeOf(next) !== undefined);
        expect(outcomeOf(next)?.error).to.match(/two processes run with one identity/);
        await meanwhile('closed', () => next.isClosed);
        expect(old.isClosed).to.equal(false);
        old.destroy();
      });
    }

    it('of a third process contends with the one that won', async () => {
      const [node, old] = await incumbent();
      const second = dialRaw(node, { from: 1n, incarnation: 22 });
      await meanwhile('challenge', () => old.received(FrameType.ping).length === 1);
      const third = dialRaw(node, { from: 1n, incarnation: 33 });
      // The third hello is read before time passes: what a fourth connection gets comes after it.
      const fourth = dialRaw(node, { from: 77n });
      await meanwhile('an answer', () => outcomeOf(fourth)?.ok === false);
      env.advance(CHALLENGE_MS);
      await meanwhile('one accepted', () => outcomeOf(second)?.ok === true);
      await meanwhile('challenge', () => second.received(FrameType.ping).length === 1);
      second.send(FrameType.pong, new Uint8Array(0));
      await meanwhile('the other refused', () => outcomeOf(third)?.ok === false);
      expect(second.isClosed).to.equal(false);
      second.destroy();
    });

    it('is refused when the first is of version 1 and only sends its own pings', async () => {
      const [node, old] = await incumbent(0);
      const next = dialRaw(node, { from: 1n, incarnation: 22 });
      await meanwhile('challenge', () => old.received(FrameType.ping).length === 1);
      old.send(FrameType.ping, new Uint8Array(8));
      await meanwhile('refused', () => outcomeOf(next)?.ok === false);
      old.destroy();
    });
  });
});
