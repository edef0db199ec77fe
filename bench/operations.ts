import {
  CompareResult,
  CompareTarget,
  decodeTxnResponse,
  encodeLeaseGrantRequest,
  encodePutRequest,
  encodeRangeRequest,
  encodeTxnRequest,
} from '../src/gen/rpc.js';

/** The requests a load is made of. A description crosses process borders; a maker turns it into bytes. */

export type Operation =
  | {
      readonly kind: 'put';
      readonly keys: number;
      readonly valueBytes: number;
      readonly sequential?: boolean;
    }
  | {
      readonly kind: 'range';
      readonly keys: number;
      /** Keys in the range that is asked for; 1 asks for one key by name, 0 for all. */
      readonly span: number;
      readonly serializable?: boolean;
      readonly countOnly?: boolean;
      readonly keysOnly?: boolean;
    }
  /** Grants leases 1, 2, 3, ... of ten minutes. */
  | { readonly kind: 'leaseGrant' }
  /** Compare-and-swap on a key that no other slot touches. */
  | { readonly kind: 'cas'; readonly valueBytes: number }
  /** `readShare` of the requests are linearizable reads of one key, the others puts. */
  | {
      readonly kind: 'mixed';
      readonly keys: number;
      readonly valueBytes: number;
      readonly readShare: number;
    };

export const PATH = {
  put: '/etcdserverpb.KV/Put',
  range: '/etcdserverpb.KV/Range',
  txn: '/etcdserverpb.KV/Txn',
  compact: '/etcdserverpb.KV/Compact',
  watch: '/etcdserverpb.Watch/Watch',
  leaseGrant: '/etcdserverpb.Lease/LeaseGrant',
  leaseKeepAlive: '/etcdserverpb.Lease/LeaseKeepAlive',
  status: '/etcdserverpb.Maintenance/Status',
} as const;

/** One place in flight: makes its next request and looks at the answer. */
export interface RequestMaker {
  path: string;
  /** The bytes are good until the next call. */
  next(): Uint8Array;
  /** True when answers must be looked at. */
  readonly reads: boolean;
  answered(buf: Uint8Array, start: number, end: number): void;
}

const KEY_PREFIX = 'bench/key/';
const KEY_DIGITS = 10;

/** Keys sort by number: fixed width. */
export function keyName(n: number): string {
  return KEY_PREFIX + String(n).padStart(KEY_DIGITS, '0');
}

export function keyBytes(n: number): Uint8Array {
  return Buffer.from(keyName(n), 'latin1');
}

/** Offsets of the bench keys' numbers in an encoded request: a load rewrites them in place. */
function numbersIn(body: Uint8Array): number[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length);
  const found: number[] = [];
  let at = bytes.indexOf(KEY_PREFIX);
  for (; at >= 0; at = bytes.indexOf(KEY_PREFIX, at + 1)) found.push(at + KEY_PREFIX.length);
  return found;
}

function writeNumber(body: Uint8Array, at: number, n: number): void {
  let rest = n;
  for (let i = at + KEY_DIGITS - 1; i >= at; i--) {
    body[i] = 48 + (rest % 10);
    rest = Math.trunc(rest / 10);
  }
}

/** The interval of all bench keys. */
export const ALL_KEYS = { key: Buffer.from(KEY_PREFIX), rangeEnd: Buffer.from('bench/key0') };

/** Bytes that do not compress, the same in every run. */
export function valueOf(bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  const random = randomSource(0x5eed);
  for (let i = 0; i < bytes; i++) value[i] = random() & 0xff;
  return value;
}

const POOL_BYTES = 1 << 20;
let pool: Uint8Array | undefined;

/** Values that do not compress, neither alone nor beside each other: windows of one pool of random bytes. */
function valuesOf(bytes: number): (n: number) => Uint8Array {
  const shared = (pool ??= valueOf(POOL_BYTES));
  return (n) => {
    const start = n % (POOL_BYTES - bytes);
    return shared.subarray(start, start + bytes);
  };
}

/** Small generator of unsigned 32-bit integers (xorshift). */
export function randomSource(seed: number): () => number {
  let state = seed === 0 ? 1 : seed | 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Hands out 0, 1, 2, ... among all slots of all workers, each number once. */
export interface Sequence {
  next: number;
  readonly step: number;
}

/** `slot` is unique among all slots of all workers. */
export function makeRequests(
  operation: Operation,
  slot: number,
  sequence: Sequence,
  seed: number,
): RequestMaker {
  const random = randomSource(seed + slot * 7919);
  const nextInSequence = (): number => {
    const n = sequence.next;
    sequence.next += sequence.step;
    return n;
  };
  switch (operation.kind) {
    case 'put': {
      const { keys, valueBytes, sequential } = operation;
      const values = valuesOf(valueBytes);
      const body = encodePutRequest({ key: keyBytes(0), value: new Uint8Array(valueBytes) });
      const [keyAt = 0] = numbersIn(body);
      const valueAt = body.length - valueBytes;
      const pick = (): number => (sequential === true ? nextInSequence() : random()) % keys;
      return blind(PATH.put, () => {
        writeNumber(body, keyAt, pick());
        body.set(values(random()), valueAt);
        return body;
      });
    }
    case 'range':
      return blind(PATH.range, rangeMaker(operation, random));
    case 'mixed': {
      const put = makeRequests(
        { kind: 'put', keys: operation.keys, valueBytes: operation.valueBytes },
        slot,
        sequence,
        seed,
      );
      const read = rangeMaker({ keys: operation.keys, span: 1 }, random);
      const maker: RequestMaker = {
        ...put,
        next: () => {
          const reads = random() / 2 ** 32 < operation.readShare;
          maker.path = reads ? PATH.range : PATH.put;
          return reads ? read() : put.next();
        },
      };
      return maker;
    }
    case 'leaseGrant':
      return blind(PATH.leaseGrant, () =>
        encodeLeaseGrantRequest({ TTL: 600, ID: BigInt(1 + nextInSequence()) }),
      );
    case 'cas':
      return casMaker(slot, valueOf(operation.valueBytes));
  }
}

function blind(path: string, next: () => Uint8Array): RequestMaker {
  return { path, next, reads: false, answered: () => undefined };
}

function rangeMaker(
  range: {
    keys: number;
    span: number;
    serializable?: boolean;
    countOnly?: boolean;
    keysOnly?: boolean;
  },
  random: () => number,
): () => Uint8Array {
  const { keys, span, serializable, countOnly, keysOnly } = range;
  const options = { serializable, countOnly, keysOnly };
  if (span === 0) {
    const all = encodeRangeRequest({ ...ALL_KEYS, ...options });
    return () => all;
  }
  const body = encodeRangeRequest({
    key: keyBytes(0),
    ...(span === 1 ? {} : { rangeEnd: keyBytes(span) }),
    ...options,
  });
  const [keyAt = 0, endAt] = numbersIn(body);
  return () => {
    const first = random() % (keys - span + 1);
    writeNumber(body, keyAt, first);
    if (endAt !== undefined) writeNumber(body, endAt, first + span);
    return body;
  };
}

/** Each slot swaps a key of its own, so every compare must hold after the first answer taught it the revision. */
function casMaker(slot: number, value: Uint8Array): RequestMaker {
  const key = Buffer.from(`bench/cas/${String(slot)}`);
  const requestPut = { key, value };
  const requestRange = { key };
  let modRevision = 0;
  let known = false;
  return {
    path: PATH.txn,
    reads: true,
    next: () =>
      encodeTxnRequest({
        compare: [{ key, result: CompareResult.EQUAL, target: CompareTarget.MOD, modRevision }],
        success: [{ requestPut }],
        failure: [{ requestRange }],
      }),
    answered: (buf, start, end) => {
      const answer = decodeTxnResponse(buf, start, end);
      if (answer.succeeded) modRevision = answer.header?.revision ?? 0;
      else if (known)
        throw new Error('a compare-and-swap failed although nobody else writes its key');
      else modRevision = answer.responses[0]?.responseRange?.kvs[0]?.modRevision ?? 0;
      known = true;
    },
  };
}
