/**
 * Compaction of the store's history below /registry: every five minutes, what was the newest
 * revision five minutes before. So a watch or a continued list may lag five minutes at least
 * (k8s.io/apiserver/pkg/storage/etcd3/compact.go). Several API servers agree by a key in the store.
 */
import type { EtcdClient } from '../../../client/client.js';
import type { Logger } from '../../../base/observe/logger.js';
import { sleep, type ClusterEnv } from '../../env.js';

const KEY = new TextEncoder().encode('compact_rev_key');
const EVERY_MS = 5 * 60_000;
const EQUAL = 0;
const TARGET_VERSION = 0;

export interface CompactorSetup {
  readonly client: EtcdClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
}

/** State that a round found. The key's version tells if another server compacted since. */
interface Mark {
  readonly version: number;
  readonly revision: number;
}

export class Compactor {
  private readonly client: EtcdClient;
  private readonly env: ClusterEnv;
  private readonly log: Logger;
  private readonly stopping = new AbortController();

  constructor(setup: CompactorSetup) {
    this.client = setup.client;
    this.env = setup.env;
    this.log = setup.log;
  }

  start(): void {
    void this.run();
  }

  stop(): void {
    this.stopping.abort();
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let mark: Mark = { version: 0, revision: 0 };
    while (!signal.aborted) {
      await sleep(this.env, EVERY_MS, signal);
      if (signal.aborted) return;
      try {
        mark = await this.round(mark);
      } catch (error) {
        // The next round tries again with the same mark.
        this.log.warn('compaction of the store failed', { error });
      }
    }
  }

  /**
   * Writes the key if nobody else did since `mark`; then it compacts what `mark` saw as newest.
   * Returns what this round saw.
   */
  async round(mark: Mark): Promise<Mark> {
    const value = new TextEncoder().encode(String(mark.revision));
    const reply = await this.client.kv.txn({
      compare: [{ result: EQUAL, target: TARGET_VERSION, key: KEY, version: mark.version }],
      success: [{ requestPut: { key: KEY, value } }],
      failure: [{ requestRange: { key: KEY } }],
    });
    const revision = reply.header?.revision ?? 0;
    if (!reply.succeeded) {
      const found = reply.responses[0]?.responseRange?.kvs[0];
      return { version: found?.version ?? 0, revision };
    }
    if (mark.revision > 0) await this.client.kv.compact({ revision: mark.revision });
    return { version: mark.version + 1, revision };
  }
}
