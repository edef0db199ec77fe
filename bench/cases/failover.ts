import { encodePutRequest } from '../../src/gen/rpc.js';
import { MILLISECONDS, type Bench, type CaseGroup } from '../case.js';
import { keyBytes, PATH, valueOf } from '../operations.js';
import { poll, type Member } from '../peers.js';
import { Connection } from '../wire/connection.js';

/** kill -9 of the leader, default timers: how long until the survivors take a new write. */

const RETRY_MS = 5;
const GIVE_UP_MS = 30_000;

export const failover: CaseGroup = {
  name: 'failover',
  title: 'Leader killed, three nodes, default timers',
  members: 3,
  quick: false,
  rounds: 1,
  minutes: 2.8,
  run: async (bench) => {
    await bench.warmUp();
    const kills = bench.quick ? 5 : 20;
    const times: number[] = [];
    let failure: Error | undefined;
    try {
      for (let i = 0; i < kills; i++) times.push(await killLeader(bench));
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    times.sort((a, b) => a - b);
    const rows = [
      ['median', Math.floor(times.length / 2)],
      ['worst', times.length - 1],
    ] as const;
    for (const [name, at] of rows) {
      const label = `kill -9 of the leader to the first new write, ${name} of ${String(kills)}`;
      const what = name === 'median' ? { ...MILLISECONDS, target: 0.3 } : MILLISECONDS;
      await bench.measure(label, what, () =>
        failure === undefined ? Promise.resolve(times[at] ?? 0) : Promise.reject(failure),
      );
    }
  },
};

/** Milliseconds from the kill to the first acknowledged put; leaves the cluster whole again. */
async function killLeader(bench: Bench): Promise<number> {
  const { cluster } = bench;
  const at = await cluster.leader();
  const leader = cluster.members[at];
  const survivors = cluster.members.filter((_, i) => i !== at);
  if (leader === undefined) throw new Error('no leader');
  const connections = await Promise.all(
    survivors.map((member) => Connection.open('127.0.0.1', member.clientPort)),
  );
  try {
    const began = performance.now();
    const killed = cluster.stopMember(leader, 'SIGKILL');
    const took = await firstWrite(connections, began);
    await killed;
    await cluster.restart(leader);
    await whole(bench, cluster.members);
    return took;
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** Sends a put to every survivor every few milliseconds, so that no single refused or waiting request decides. */
function firstWrite(connections: readonly Connection[], began: number): Promise<number> {
  const body = encodePutRequest({ key: keyBytes(0), value: valueOf(64) });
  return new Promise((resolve, reject) => {
    const timer = setInterval(() => {
      if (performance.now() - began > GIVE_UP_MS) {
        clearInterval(timer);
        reject(new Error(`no write within ${String(GIVE_UP_MS / 1000)} s of the kill`));
      }
      for (const connection of connections) {
        connection.request(PATH.put, body, {
          discard: true,
          message: () => undefined,
          ended: (status) => {
            if (status !== 0) return;
            clearInterval(timer);
            resolve(performance.now() - began);
          },
        });
      }
    }, RETRY_MS);
  });
}

/** Waits until all members name the same leader and have applied nearly the same entries. */
async function whole(bench: Bench, members: readonly Member[]): Promise<void> {
  await poll(60_000, 'the cluster did not become whole', async () => {
    const all = await Promise.all(
      members.map((member) => bench.cluster.status(member).catch(() => undefined)),
    );
    const [first] = all;
    if (first === undefined || first.leader === 0n) return undefined;
    const agreed = all.every(
      (status) =>
        status !== undefined &&
        status.leader === first.leader &&
        Math.abs(status.raftAppliedIndex - first.raftAppliedIndex) < 100,
    );
    return agreed ? true : undefined;
  });
  // Followers must have followed the new leader for a while, as in a cluster at rest.
  await new Promise((done) => setTimeout(done, 1500));
}
