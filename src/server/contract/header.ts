import type { HeaderFields, Headers } from './roles.js';

export interface HeaderSource {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: () => number;
  readonly term: () => number;
}

/**
 * Encodes `ResponseHeader header = 1`, the first field of every reply: member and cluster id never change,
 * so only revision and term are written anew.
 */
export class HeaderEncoder implements Headers {
  private readonly source: HeaderSource;
  private readonly prefix: Buffer;
  private cachedRevision = -1;
  private cachedTerm = -1;
  private cached: Uint8Array = new Uint8Array(0);

  constructor(source: HeaderSource) {
    this.source = source;
    const ids: number[] = [];
    pushIdField(ids, 1, source.clusterId);
    pushIdField(ids, 2, source.memberId);
    this.prefix = Buffer.from(ids);
  }

  fields(revision = this.source.revision()): HeaderFields {
    const { clusterId, memberId } = this.source;
    return { clusterId, memberId, revision, raftTerm: this.source.term() };
  }

  field(revision: number): Uint8Array {
    const term = this.source.term();
    if (revision === this.cachedRevision && term === this.cachedTerm) return this.cached;
    const content = this.prefix.length;
    // Room for tag and length (2), revision and term (1 + 8 bytes of varint each: values stay below 2^53).
    const out = Buffer.allocUnsafe(2 + content + 18);
    out[0] = 0x0a;
    this.prefix.copy(out, 2);
    let at = 2 + content;
    if (revision > 0) {
      out[at++] = 0x18;
      at = writeVarint(out, at, revision);
    }
    if (term > 0) {
      out[at++] = 0x20;
      at = writeVarint(out, at, term);
    }
    out[1] = at - 2;
    this.cachedRevision = revision;
    this.cachedTerm = term;
    this.cached = out.subarray(0, at);
    return this.cached;
  }
}

function writeVarint(out: Buffer, position: number, value: number): number {
  let at = position;
  let v = value;
  while (v >= 0x80) {
    out[at++] = (v % 0x80) | 0x80;
    v = Math.floor(v / 0x80);
  }
  out[at++] = v;
  return at;
}

function pushIdField(out: number[], field: number, id: bigint): void {
  if (id === 0n) return;
  out.push(field * 8);
  let v = BigInt.asUintN(64, id);
  while (v >= 0x80n) {
    out.push(Number(v & 0x7fn) | 0x80);
    v >>= 7n;
  }
  out.push(Number(v));
}
