import { decodeRangeResponse, encodePutRequest, encodeRangeRequest } from '../../src/gen/rpc.js';
import { MEGABYTES, MILLISECONDS, SECONDS, type Bench, type CaseGroup } from '../case.js';
import { Histogram } from '../histogram.js';
import { ALL_KEYS, keyBytes, PATH, valueOf } from '../operations.js';
import { poll, residentBytes, statusOf, type Member } from '../peers.js';
import { Connection } from '../wire/connection.js';
import { callOnce } from '../wire/unary.js';

/** A follower was away while a gigabyte was written, and the leader's log no longer reaches back to it. */

const VALUE_BYTES = 16_384;
/** More than both servers keep in their logs for members that are behind: 5,000 entries, and these flags'. */
const SNAPSHOT_COUNT = 1000;
const MB = 1e6;
const SMALL_PUTS_PER_SECOND = 100;
/** Small puts before the follower returns, for comparison. */
const BEFORE_MS = 3000;
const SETTLE_MS = 2000;
const MAX_MS = 180_000;

export const snapshot: CaseGroup = {
  name: 'snapshot',
  title: 'A follower that missed 1 GB gets a snapshot, three nodes, keys of 16 KiB',
  members: 3,
  flags: [`--snapshot-count=${String(SNAPSHOT_COUNT)}`],
  quick: false,
  rounds: 3,
  minutes: 4.5,
  run: async (bench) => {
    const keys = bench.quick ? 9_000 : 61_000;
    const { cluster } = bench;
    await bench.fill(1000, 256);
    const at = await cluster.leader();
    const [leader, follower, other] = [0, 1, 2].map((i) => cluster.members[(at + i) % 3]);
    if (leader === undefined || follower === undefined || other === undefined)
      throw new Error('three members are needed');
    await cluster.stopMember(follower);
    await bench.fill(keys, VALUE_BYTES, [leader.clientPort, other.clientPort]);
    await sleep(SETTLE_MS);

    const puts = new SmallPuts(await Connection.open('127.0.0.1', leader.clientPort));
    try {
      await sleep(BEFORE_MS);
      await measurePuts(bench, 'while the follower is away', puts);
      const label = `from the follower's start until it has everything`;
      let seconds = 0;
      await bench.measure(label, SECONDS, async () => {
        seconds = await catchUp(bench, leader, follower, keys);
        return seconds;
      });
      await bench.measure('data that it got, per second', { unit: 'MB/s', better: 'higher' }, () =>
        seconds > 0
          ? Promise.resolve((keys * VALUE_BYTES) / MB / seconds)
          : Promise.reject(new Error('it did not get everything')),
      );
      await measurePuts(bench, 'meanwhile', puts);
    } finally {
      puts.stop();
    }
    for (const [name, member] of [
      ['leader', leader],
      ['follower', follower],
    ] as const) {
      await bench.measure(`memory of the ${name} at its highest`, MEGABYTES, () =>
        Promise.resolve(residentBytes(member.process).peak / MB),
      );
    }
  },
};

/** Seconds until the follower applied what the leader had and answers a count of its own with all keys. */
async function catchUp(
  bench: Bench,
  leader: Member,
  follower: Member,
  keys: number,
): Promise<number> {
  const count = encodeRangeRequest({ ...ALL_KEYS, countOnly: true, serializable: true });
  const began = performance.now();
  bench.cluster.startAgain(follower);
  await poll(MAX_MS, 'the follower did not catch up', async () => {
    if (follower.process.exitCode !== null) throw new Error('the follower ended');
    const goal = (await statusOf(leader.clientPort)).raftAppliedIndex;
    const status = await statusOf(follower.clientPort).catch(() => undefined);
    if (status === undefined || status.raftAppliedIndex < goal) return undefined;
    const answer = await callOnce(follower.clientPort, PATH.range, count).catch(() => undefined);
    if (answer === undefined) return undefined;
    return decodeRangeResponse(answer).count === keys ? true : undefined;
  });
  const seconds = (performance.now() - began) / 1000;
  if ((await snapshotsReceived(follower)) === 0)
    throw new Error('the follower caught up from the log, without a snapshot');
  return seconds;
}

/** By the member's own metrics, over all senders. */
async function snapshotsReceived(member: Member): Promise<number> {
  const page = await fetch(`http://127.0.0.1:${String(member.clientPort)}/metrics`);
  const lines = (await page.text()).matchAll(
    /^etcd_network_snapshot_receive_success(?:\{.*\})? (\S+)$/gm,
  );
  return [...lines].reduce((sum, [, value]) => sum + Number(value), 0);
}

async function measurePuts(bench: Bench, when: string, puts: SmallPuts): Promise<void> {
  const { latency, failure } = puts.take();
  for (const percentile of [50, 99]) {
    const label = `small puts at ${String(SMALL_PUTS_PER_SECOND)}/s through the leader, ${when}, p${String(percentile)}`;
    await bench.measure(label, MILLISECONDS, () =>
      failure === undefined
        ? Promise.resolve(latency.percentileUs(percentile) / 1000)
        : Promise.reject(new Error(failure)),
    );
  }
}

/** Puts a small value at a steady rate until it is stopped; latencies count from when each was due. */
class SmallPuts {
  private readonly connection: Connection;
  private readonly body = encodePutRequest({ key: keyBytes(0), value: valueOf(64) });
  private readonly timer: NodeJS.Timeout;
  private readonly beganMs = performance.now();
  private latency = new Histogram();
  private sent = 0;
  private failure: string | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    this.timer = setInterval(() => this.sendDue(), 1);
  }

  /** Figures since the last time. */
  take(): { latency: Histogram; failure: string | undefined } {
    const { latency, failure } = this;
    this.latency = new Histogram();
    return { latency, failure };
  }

  stop(): void {
    clearInterval(this.timer);
    this.connection.close();
  }

  private sendDue(): void {
    const due = ((performance.now() - this.beganMs) * SMALL_PUTS_PER_SECOND) / 1000;
    while (this.sent < due) {
      const dueMs = this.beganMs + (this.sent++ * 1000) / SMALL_PUTS_PER_SECOND;
      this.connection.request(PATH.put, this.body, {
        discard: true,
        message: () => undefined,
        ended: (status, text) => {
          if (status === 0) this.latency.record((performance.now() - dueMs) * 1000);
          else this.failure ??= `a put failed: ${String(status)} ${text}`;
        },
      });
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
