/** Writes messages in ways that are legal but not canonical, as other implementations may. */
import type { FieldModel, MessageModel } from '../../scripts/gen/model.js';
import { isZero, messageOf } from './plain.js';
import type { Plain, PlainValue, Random } from './plain.js';

/** Field order shuffled, lists packed or not, zero values written out, padded varints, unknown fields in between. */
export function encodeWild(random: Random, m: MessageModel, plain: Plain): Uint8Array {
  const chunks: Uint8Array[][] = [];
  for (const f of m.fields) {
    const v = plain.get(f.protoName);
    if (v === undefined) {
      if (f.oneof === null && !f.repeated && f.kind !== 'message' && random.chance(20)) {
        chunks.push([tagged(random, f, zeroOf(f))]);
      }
      continue;
    }
    if (!Array.isArray(v)) {
      const earlier = f.oneof === null && f.kind !== 'message' && random.chance(20);
      const last = tagged(random, f, v);
      chunks.push(earlier ? [tagged(random, f, zeroOf(f)), last] : [last]);
    } else if (isVarint(f) && random.chance(60)) {
      const cut = random.below(v.length + 1);
      chunks.push([packed(random, f, v.slice(0, cut)), packed(random, f, v.slice(cut))]);
    } else {
      chunks.push(v.map((x) => tagged(random, f, x)));
    }
  }
  return interleave(random, m, chunks);
}

/** Keeps the order within each chunk: it is the order of a list, or decides which value is the last. */
function interleave(random: Random, m: MessageModel, chunks: Uint8Array[][]): Uint8Array {
  const parts: Uint8Array[] = [];
  let open = chunks.filter((chunk) => chunk.length > 0);
  while (open.length > 0) {
    if (random.chance(25)) parts.push(unknownField(random, m, 3));
    parts.push(random.pick(open).shift() as Uint8Array);
    open = open.filter((chunk) => chunk.length > 0);
  }
  if (random.chance(25)) parts.push(unknownField(random, m, 3));
  return Buffer.concat(parts);
}

export function varint(v: bigint, padding = 0): Uint8Array {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, v);
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  for (let i = 0; i < padding && out.length < 10; i++) {
    out[out.length - 1] = (out.at(-1) as number) | 0x80;
    out.push(0);
  }
  return Uint8Array.from(out);
}

export function tag(id: number, wire: number): Uint8Array {
  return varint(BigInt(id) * 8n + BigInt(wire));
}

export function prefixed(id: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([tag(id, 2), varint(BigInt(content.length)), content]);
}

function isVarint(f: FieldModel): boolean {
  return f.kind !== 'bytes' && f.kind !== 'string' && f.kind !== 'message';
}

function zeroOf(f: FieldModel): PlainValue {
  if (f.kind === 'bytes') return new Uint8Array(0);
  if (f.kind === 'string') return '';
  return f.kind === 'bool' ? false : 0n;
}

function scalar(random: Random, v: PlainValue): Uint8Array {
  const n = typeof v === 'boolean' ? BigInt(v) : (v as bigint);
  return varint(n, random.chance(10) ? random.below(10) : 0);
}

function packed(random: Random, f: FieldModel, list: readonly PlainValue[]): Uint8Array {
  return prefixed(f.id, Buffer.concat(list.map((v) => scalar(random, v))));
}

function tagged(random: Random, f: FieldModel, v: PlainValue): Uint8Array {
  if (v instanceof Map) return nested(random, f, v);
  if (v instanceof Uint8Array) return prefixed(f.id, v);
  if (typeof v === 'string') return prefixed(f.id, Buffer.from(v));
  return Buffer.concat([tag(f.id, 0), scalar(random, v)]);
}

/** Sometimes in two halves, which the reader has to merge. */
function nested(random: Random, f: FieldModel, v: Plain): Uint8Array {
  const m = messageOf(f);
  if (f.repeated || random.chance(70)) return prefixed(f.id, encodeWild(random, m, v));
  const first: Plain = new Map();
  const second: Plain = new Map();
  for (const [name, value] of v) (random.chance(50) ? first : second).set(name, value);
  for (const [name, value] of second) {
    const field = m.fields.find((x) => x.protoName === name);
    if (field?.kind === 'bytes' && !Array.isArray(value) && !isZero(value)) {
      if (field.oneof === null) first.set(name, Uint8Array.of(1));
    }
  }
  return Buffer.concat([
    prefixed(f.id, encodeWild(random, m, first)),
    prefixed(f.id, canonicalZeros(random, m, second)),
  ]);
}

/** The second half must not write zeros over values of the first half. */
function canonicalZeros(random: Random, m: MessageModel, plain: Plain): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const f of m.fields) {
    const v = plain.get(f.protoName);
    if (v === undefined) continue;
    for (const x of Array.isArray(v) ? v : [v]) parts.push(tagged(random, f, x));
  }
  return Buffer.concat(parts);
}

/** No groups in messages without fields: the oracle checks their end against the wrong number and refuses them. */
export function unknownField(random: Random, m: MessageModel, depth: number): Uint8Array {
  const known = new Set(m.fields.map((f) => f.id));
  let id = 0;
  do id = random.pick([9, 15, 16, 63, 2000, 100000, 2 ** 29 - 1]) - random.below(5);
  while (known.has(id));
  switch (random.below(depth > 0 && known.size > 0 ? 5 : 4)) {
    case 0:
      return Buffer.concat([tag(id, 0), varint(random.bits(64), random.below(3))]);
    case 1:
      return Buffer.concat([tag(id, 1), random.bytes(8)]);
    case 2:
      return prefixed(id, random.bytes(random.below(200)));
    case 3:
      return Buffer.concat([tag(id, 5), random.bytes(4)]);
    default: {
      const parts = [tag(id, 3)];
      for (let n = random.below(4); n > 0; n--) parts.push(unknownField(random, m, depth - 1));
      return Buffer.concat([...parts, tag(id, 4)]);
    }
  }
}
