/**
 * Encodes `ResponseHeader header = 1`, the first field of every reply: member and cluster id never change,
 * so only revision and term are written anew.
 */
export class HeaderEncoder {
  private readonly prefix: Buffer;
  private cachedRevision = -1;
  private cachedTerm = -1;
  private cached: Uint8Array = new Uint8Array(0);

  constructor(clusterId: bigint, memberId: bigint) {
    const ids: number[] = [];
    pushIdField(ids, 1, clusterId);
    pushIdField(ids, 2, memberId);
    this.prefix = Buffer.from(ids);
  }

  /** The encoded field. A revision of 0 is left out, as etcd does in answers about membership. */
  field(revision: number, term: number): Uint8Array {
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
