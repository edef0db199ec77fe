import { decodeMemberInfo, encodeMemberInfo, type MemberInfo } from '../../gen/peer.js';
import { Bucket, type Backend } from '../../storage/backend.js';
import { ConfChangeType, type ConfChange, type MemberId } from '../../raft/types.js';

const EMPTY = new Uint8Array(0);

/**
 * The replicated list of members: who they are and where they listen. Raft's own configuration changes together with it,
 * at the same log position.
 */
export class Members {
  private readonly byId = new Map<MemberId, MemberInfo>();
  private readonly removed = new Set<MemberId>();

  clear(): void {
    this.byId.clear();
    this.removed.clear();
  }

  load(value: Uint8Array): void {
    const info = decodeMemberInfo(value);
    this.byId.set(info.ID, info);
  }

  loadRemoved(key: Uint8Array): void {
    this.removed.add(Buffer.from(key).readBigUInt64BE(0));
  }

  get(id: MemberId): MemberInfo | undefined {
    return this.byId.get(id);
  }

  /** Ascending by id. */
  list(): MemberInfo[] {
    return [...this.byId.values()].sort((a, b) => (a.ID < b.ID ? -1 : 1));
  }

  removedIds(): MemberId[] {
    return [...this.removed];
  }

  set(backend: Backend, info: MemberInfo): void {
    this.byId.set(info.ID, info);
    backend.put(Bucket.members, idKey(info.ID), encodeMemberInfo(info));
  }

  /** Publishes name and client URLs of a member; ignored for one that is not (or no longer) there. */
  setAttributes(backend: Backend, id: MemberId, name: string, clientURLs: string[]): void {
    const known = this.byId.get(id);
    if (known !== undefined) this.set(backend, { ...known, name, clientURLs });
  }

  /** The effect of a committed membership change whose `context` is an encoded MemberInfo. */
  change(backend: Backend, change: ConfChange): void {
    if (change.type === ConfChangeType.removeMember) {
      this.byId.delete(change.memberId);
      this.removed.add(change.memberId);
      backend.delete(Bucket.members, idKey(change.memberId));
      backend.put(Bucket.membersRemoved, idKey(change.memberId), EMPTY);
      return;
    }
    const info = decodeMemberInfo(change.context);
    const known = this.byId.get(change.memberId);
    if (change.type === ConfChangeType.updateMember) {
      if (known !== undefined) this.set(backend, { ...known, peerURLs: info.peerURLs });
      return;
    }
    const isLearner = change.type === ConfChangeType.addLearner;
    this.set(backend, known === undefined ? { ...info, isLearner } : { ...known, isLearner });
  }
}

function idKey(id: MemberId): Uint8Array {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(id);
  return key;
}
