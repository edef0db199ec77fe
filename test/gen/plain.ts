/**
 * A neutral form of messages, and its translations: the bridge between the generated codecs and the oracle.
 *
 * A plain message maps .proto field names to values; absent and zero fields are left out, integers are bigint.
 * Random ones are drawn from the contracts in proto/, so that every message and field is covered without listing it.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import * as auth from '../../src/gen/auth.js';
import * as election from '../../src/gen/election.js';
import * as health from '../../src/gen/health.js';
import * as kv from '../../src/gen/kv.js';
import * as lease from '../../src/gen/lease.js';
import * as lock from '../../src/gen/lock.js';
import * as membership from '../../src/gen/membership.js';
import * as peer from '../../src/gen/peer.js';
import * as rpc from '../../src/gen/rpc.js';
import { loadRoot, readModel } from '../../scripts/gen/model.js';
import type { FieldModel, MessageModel } from '../../scripts/gen/model.js';

export type Plain = Map<string, PlainValue | PlainValue[]>;
export type PlainValue = bigint | boolean | string | Uint8Array | Plain;

/** The generated functions of one message. */
export interface Codec {
  readonly file: string;
  readonly model: MessageModel;
  readonly oracle: protobuf.Type;
  readonly encode: (m: object) => Uint8Array;
  readonly size: (m: object) => number;
  readonly write: (m: object, buf: Uint8Array, pos: number) => number;
  readonly decode: (buf: Uint8Array, start?: number, end?: number) => object;
  readonly toJson: (m: object) => unknown;
  readonly fromJson: (j: unknown) => object;
}

const protoDir = fileURLToPath(new URL('../../proto', import.meta.url));
const root = loadRoot(
  protoDir,
  readdirSync(protoDir)
    .filter((name) => name.endsWith('.proto'))
    .map((name) => join(protoDir, name)),
);
const model = readModel(root);
const byName = new Map<string, MessageModel>();
for (const file of model.files)
  for (const m of file.messages) byName.set(`${file.name}.${m.name}`, m);

const sources: Readonly<Record<string, object>> = {
  auth,
  election,
  health,
  kv,
  lease,
  lock,
  membership,
  peer,
  rpc,
};

/** Every message of every file. */
export const codecs: readonly Codec[] = model.files.flatMap((file) => {
  const source = sources[file.name] as Record<string, unknown>;
  return file.messages.map((m) => {
    const camel = m.name.charAt(0).toLowerCase() + m.name.slice(1);
    return {
      file: file.name,
      model: m,
      oracle: root.lookupType(m.fullName),
      encode: source[`encode${m.name}`] as Codec['encode'],
      size: source[`size${m.name}`] as Codec['size'],
      write: source[`write${m.name}`] as Codec['write'],
      decode: source[`decode${m.name}`] as Codec['decode'],
      toJson: source[`${camel}ToJson`] as Codec['toJson'],
      fromJson: source[`${camel}FromJson`] as Codec['fromJson'],
    };
  });
});

export function messageOf(f: FieldModel): MessageModel {
  const m = byName.get(`${f.typeFile}.${f.typeName}`);
  if (m === undefined) throw new Error(`no message ${f.typeName}`);
  return m;
}

/** The seed of a run, printed so that a failure can be repeated with SEED=... */
export function testSeed(what: string): number {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`      ${what}: SEED=${String(seed)}`);
  return seed;
}

/** A small generator of uniform integers (mulberry32). */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = seed | 0;
  }
  /** In [0, n). */
  below(n: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  }
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }
  bytes(n: number): Uint8Array {
    const b = new Uint8Array(n);
    for (let i = 0; i < n; i++) b[i] = this.below(256);
    return b;
  }
  /** Every magnitude up to `bits` bits is equally likely. */
  bits(bits: number): bigint {
    const n = BigInt(this.below(bits + 1));
    const raw = (BigInt(this.below(2 ** 32)) << 32n) | BigInt(this.below(2 ** 32));
    return raw & ((1n << n) - 1n);
  }
}

const TEXTS = [
  'a',
  'http://127.0.0.1:2380',
  'é',
  '\u0000',
  '\u{1f600}x',
  '\u{10ffff}',
  '\uffff',
  'x'.repeat(41),
];

export function randomPlain(random: Random, m: MessageModel, depth = 4): Plain {
  const plain: Plain = new Map();
  const taken = new Set<string>();
  const full = random.chance(20);
  for (const f of m.fields) {
    if (!full && random.chance(50)) continue;
    if (f.kind === 'message' && depth === 0) continue;
    if (f.oneof !== null) {
      if (taken.has(f.oneof) || random.chance(50)) continue;
      taken.add(f.oneof);
    }
    if (f.repeated) {
      const list: PlainValue[] = [];
      for (let n = random.below(4); n > 0; n--) list.push(randomValue(random, f, depth));
      if (list.length > 0) plain.set(f.protoName, list);
    } else {
      const v = randomValue(random, f, depth);
      if (f.oneof !== null || !isZero(v)) plain.set(f.protoName, v);
    }
  }
  return plain;
}

function randomValue(random: Random, f: FieldModel, depth: number): PlainValue {
  const zero = random.chance(10);
  const negative = random.chance(30);
  switch (f.kind) {
    case 'bytes':
      return random.bytes(zero ? 0 : random.pick([1, 3, 24, 25, 127, 128, 300]));
    case 'string':
      return zero ? '' : random.pick(TEXTS) + random.pick(TEXTS).repeat(random.below(4));
    case 'bool':
      return random.chance(50);
    case 'int32':
      return BigInt.asIntN(32, random.bits(32));
    case 'enum':
      return zero ? BigInt.asIntN(32, random.bits(32)) : BigInt(random.below(6));
    case 'uint32':
      return random.bits(32);
    case 'int':
      return zero ? -(2n ** 53n - 1n) : negative ? -random.bits(53) : random.bits(53);
    case 'uint':
      return zero ? 2n ** 53n - 1n : random.bits(53);
    case 'bigInt':
      return zero ? -(2n ** 63n) : negative ? -random.bits(63) : random.bits(63);
    case 'bigUint':
      return zero ? 2n ** 64n - 1n : random.bits(64);
    case 'message':
      return randomPlain(random, messageOf(f), depth - 1);
  }
}

/** A present message is never "zero", even when empty. */
export function isZero(v: PlainValue): boolean {
  if (v instanceof Uint8Array || typeof v === 'string') return v.length === 0;
  return v === 0n || v === false;
}

// ---- plain <-> generated ----

export function toGenerated(m: MessageModel, plain: Plain): Record<string, unknown> {
  const o: Record<string, unknown> = {};
  for (const f of m.fields) {
    const v = plain.get(f.protoName);
    if (v === undefined) continue;
    o[f.name] = Array.isArray(v) ? v.map((x) => genValue(f, x)) : genValue(f, v);
  }
  return o;
}

function genValue(f: FieldModel, v: PlainValue): unknown {
  if (v instanceof Map) return toGenerated(messageOf(f), v);
  if (typeof v !== 'bigint') return v;
  return f.kind === 'bigInt' || f.kind === 'bigUint' ? v : Number(v);
}

/** Also checks that the object has exactly the promised properties, in order, with values of the promised types. */
export function fromGenerated(m: MessageModel, object: object): Plain {
  const o = object as Record<string, unknown>;
  const names = m.fields.map((f) => f.name);
  if (Object.keys(o).join() !== names.join())
    throw new Error(`${m.name}: ${Object.keys(o).join()}`);
  const plain: Plain = new Map();
  for (const f of m.fields) {
    const v = o[f.name];
    if (f.repeated) {
      const list = (v as unknown[]).map((x) => plainOfGen(f, x));
      if (list.length > 0) plain.set(f.protoName, list);
    } else if (v === undefined) {
      if (f.oneof === null && f.kind !== 'message')
        throw new Error(`${m.name}.${f.name} undefined`);
    } else {
      const p = plainOfGen(f, v);
      if (f.oneof !== null || !isZero(p)) plain.set(f.protoName, p);
    }
  }
  return plain;
}

function plainOfGen(f: FieldModel, v: unknown): PlainValue {
  const wanted = { bytes: 'object', string: 'string', bool: 'boolean', message: 'object' };
  const type =
    f.kind in wanted
      ? wanted[f.kind as keyof typeof wanted]
      : f.kind === 'bigInt' || f.kind === 'bigUint'
        ? 'bigint'
        : 'number';
  if (typeof v !== type) throw new Error(`${f.name} is a ${typeof v}`);
  if (f.kind === 'message') return fromGenerated(messageOf(f), v as object);
  if (f.kind === 'bytes') return Uint8Array.from(v as Uint8Array);
  return typeof v === 'number' ? BigInt(v) : (v as PlainValue);
}

// ---- plain <-> oracle ----

/** The oracle's 64-bit integer. */
function longOf(v: bigint, unsigned: boolean): unknown {
  const low = Number(BigInt.asIntN(32, v));
  const high = Number(BigInt.asIntN(32, v >> 32n));
  return new protobuf.util.Long(low, high, unsigned);
}

/** Never hands a bigint to the oracle's writer, which would write 0. */
export function toOracle(m: MessageModel, plain: Plain): Record<string, unknown> {
  const o: Record<string, unknown> = {};
  for (const f of m.fields) {
    const v = plain.get(f.protoName);
    if (v === undefined) continue;
    o[f.protoName] = Array.isArray(v) ? v.map((x) => oracleValue(f, x)) : oracleValue(f, v);
  }
  return o;
}

function oracleValue(f: FieldModel, v: PlainValue): unknown {
  if (v instanceof Map) return toOracle(messageOf(f), v);
  if (typeof v !== 'bigint') return v;
  if (f.kind === 'enum' || f.kind === 'int32' || f.kind === 'uint32') return Number(v);
  return longOf(v, f.kind === 'uint' || f.kind === 'bigUint');
}

export function fromOracle(m: MessageModel, object: object): Plain {
  const o = object as Record<string, unknown>;
  const plain: Plain = new Map();
  for (const f of m.fields) {
    if (!Object.hasOwn(o, f.protoName)) continue;
    const v = o[f.protoName];
    if (v === null || v === undefined) continue;
    if (f.repeated) {
      const list = (v as unknown[]).map((x) => plainOfOracle(f, x));
      if (list.length > 0) plain.set(f.protoName, list);
    } else {
      const p = plainOfOracle(f, v);
      if (f.oneof !== null || !isZero(p)) plain.set(f.protoName, p);
    }
  }
  return plain;
}

function plainOfOracle(f: FieldModel, v: unknown): PlainValue {
  if (f.kind === 'message') return fromOracle(messageOf(f), v as object);
  if (f.kind === 'bytes') return Uint8Array.from(v as Uint8Array);
  if (f.kind === 'string' || f.kind === 'bool') return v as PlainValue;
  return BigInt(String(v));
}
