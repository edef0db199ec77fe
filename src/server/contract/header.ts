import { writeBig, writeInt } from '../../base/bytes/varint.js';
import type { HeaderFields, Headers } from './roles.js';

export interface HeaderSource {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: () => number;
  readonly term: () => number;
}

/** Longest encoding of a 64-bit number. */
const ID_BYTES_MAX = 10;

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
    const { clusterId, memberId } = source;
    const ids = Buffer.alloc(2 * (1 + ID_BYTES_MAX));
    const end = writeIdField(ids, writeIdField(ids, 0, 1, clusterId), 2, memberId);
    this.prefix = ids.subarray(0, end);
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
      at = writeInt(out, at, revision);
    }
    if (term > 0) {
      out[at++] = 0x20;
      at = writeInt(out, at, term);
    }
    out[1] = at - 2;
    this.cachedRevision = revision;
    this.cachedTerm = term;
    this.cached = out.subarray(0, at);
    return this.cached;
  }
}

/** Writes a field of a 64-bit id; zero is not on the wire. */
function writeIdField(out: Buffer, position: number, field: number, id: bigint): number {
  if (id === 0n) return position;
  out[position] = field * 8;
  return writeBig(out, position + 1, id);
}
