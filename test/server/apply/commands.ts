import {
  decodeTxnRequest,
  encodeTxnRequest,
  type CompareInit,
  type DeleteRangeRequestInit,
  type PutRequestInit,
  type RangeRequestInit,
  type RequestOpInit,
  type TxnRequestInit,
} from '../../../src/gen/rpc.js';
import { checkTxn } from '../../../src/server/services/kv-checks.js';

const KEYS = ['a', 'aa', 'ab', 'b', 'b\xff', 'c', '\x00', '\xff\xff'];
const ENDS = ['', '\0', 'ac', 'b', 'c', 'd', 'a'];
const VALUES = ['', 'v', 'w', 'x'.repeat(300)];
export const LEASES = [1n, 2n, -3n, 0x7fff_ffff_ffff_ffffn];

/** Draws requests that are valid at the API: few keys, so that they meet each other. */
export class Draw {
  private readonly next: () => number;

  /** `next` gives numbers in [0, 1). */
  constructor(next: () => number) {
    this.next = next;
  }

  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  chance(p: number): boolean {
    return this.next() < p;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  private key(): Buffer {
    return Buffer.from(this.pick(KEYS), 'latin1');
  }

  private end(): Buffer {
    return Buffer.from(this.chance(0.4) ? '' : this.pick(ENDS), 'latin1');
  }

  put(): PutRequestInit {
    const ignoreValue = this.chance(0.1);
    const ignoreLease = this.chance(0.1);
    return {
      key: this.key(),
      value: Buffer.from(ignoreValue ? '' : this.pick(VALUES)),
      lease: !ignoreLease && this.chance(0.3) ? this.pick(LEASES) : 0n,
      prevKv: this.chance(0.4),
      ignoreValue,
      ignoreLease,
    };
  }

  delete(): DeleteRangeRequestInit {
    return { key: this.key(), rangeEnd: this.end(), prevKv: this.chance(0.5) };
  }

  range(revision: number): RangeRequestInit {
    const bound = (): number => (this.chance(0.1) ? this.below(revision + 2) : 0);
    return {
      key: this.key(),
      rangeEnd: this.end(),
      limit: this.chance(0.4) ? this.below(4) : 0,
      revision: this.chance(0.3) ? this.below(revision + 3) : 0,
      sortOrder: this.pick([0, 0, 1, 2]),
      sortTarget: this.pick([0, 0, 1, 2, 3, 4]),
      keysOnly: this.chance(0.2),
      countOnly: this.chance(0.1),
      minModRevision: bound(),
      maxModRevision: bound(),
      minCreateRevision: bound(),
      maxCreateRevision: bound(),
    };
  }

  private compare(revision: number): CompareInit {
    const target = this.chance(0.03) ? 9 : this.pick([0, 1, 2, 3, 4]);
    const number = this.chance(0.4) ? 0 : this.below(revision + 2);
    return {
      result: this.chance(0.03) ? 9 : this.pick([0, 1, 2, 3]),
      target,
      key: this.key(),
      rangeEnd: this.chance(0.3) ? this.end() : Buffer.alloc(0),
      // Sometimes of another kind than the target, or missing.
      ...(this.chance(0.1)
        ? {}
        : this.pick<CompareInit>([
            target === 0 ? { version: this.below(4) } : { version: number },
            { createRevision: number },
            { modRevision: number },
            { value: Buffer.from(this.pick(VALUES)) },
            { lease: this.pick(LEASES) },
          ])),
    };
  }

  private op(revision: number, depth: number): RequestOpInit {
    if (depth > 0 && this.chance(0.25)) return { requestTxn: this.anyTxn(revision, depth - 1) };
    const kind = this.below(3);
    if (kind === 0) return { requestPut: this.put() };
    if (kind === 1) return { requestDeleteRange: this.delete() };
    return { requestRange: this.range(revision) };
  }

  private anyTxn(revision: number, depth: number): TxnRequestInit {
    const ops = (): RequestOpInit[] =>
      Array.from({ length: this.below(4) }, () => this.op(revision, depth));
    return {
      compare: Array.from({ length: this.below(3) }, () => this.compare(revision)),
      success: ops(),
      failure: ops(),
    };
  }

  /** One that passes the checks before a proposal. */
  txn(revision: number): TxnRequestInit {
    for (;;) {
      const txn = this.anyTxn(revision, 2);
      if (checkTxn(decodeTxnRequest(encodeTxnRequest(txn)), 128) === null) return txn;
    }
  }
}
