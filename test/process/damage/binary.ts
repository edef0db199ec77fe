import { dirname } from 'node:path';
import { EtcdClient } from '../../../src/client/client.js';
import { freePorts, TestServer, until } from '../../support/servers.js';
import type { CaseOrder, Outcome } from './child.js';
import { historyHash } from './members.js';

/** Starts the program itself on a damaged directory and reports how it ended. */

const DEADLINE_MS = 60_000;
/** A finding has its next step in the line below, or in the same line of the log. */
const FINDING = /next step: \S|"next":"[^"]/;
const STACK = /^\s+at .+:\d+:\d+\)?$/m;

export async function startBinary(order: CaseOrder): Promise<Outcome> {
  const dataDir = order.dirs[0] as string;
  const [client = 0, peer = 0, metrics = 0] = await freePorts(3);
  const flags = {
    name: 'm1',
    'data-dir': dataDir,
    'listen-client-urls': `http://127.0.0.1:${client}`,
    'advertise-client-urls': `http://127.0.0.1:${client}`,
    'listen-peer-urls': `http://127.0.0.1:${peer}`,
    'initial-advertise-peer-urls': `http://127.0.0.1:${peer}`,
    'initial-cluster': `m1=http://127.0.0.1:${peer}`,
    'log-level': 'warn',
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const server = new TestServer(
    'mainstay',
    dirname(dataDir),
    { name: 'm1', client, peer, metrics },
    args,
  );
  server.start();
  const api = new EtcdClient(server.endpoint);
  try {
    const found = await until(
      'the member serves or has ended',
      async () => (await hashOf(api)) ?? server.ended,
      DEADLINE_MS,
    );
    if (typeof found !== 'string') return outcomeOf(found.signal, server.log);
    if (found === order.historyHash) return { kind: 'equal', text: '' };
    return { kind: 'silent', text: `${found} where it was ${order.historyHash}` };
  } catch (error) {
    return { kind: 'stuck', text: `${String(error)}\n${server.logTail()}` };
  } finally {
    api.close();
    await server.kill();
  }
}

async function hashOf(api: EtcdClient): Promise<string | null> {
  try {
    // A linearizable read first: HashKV itself does not wait for what was acknowledged.
    await api.kv.range({ key: Buffer.from('health') });
    const { hash, compactRevision, header } = await api.maintenance.hashKv(0);
    return historyHash(header?.revision ?? 0, compactRevision, hash);
  } catch {
    // Not served yet.
    return null;
  }
}

function outcomeOf(signal: string | null, log: string): Outcome {
  if (signal !== null) return { kind: 'aborted', text: `${signal}: ${log}` };
  const isClear = FINDING.test(log) && !STACK.test(log);
  return { kind: isClear ? 'refused' : 'unclear', text: log };
}
