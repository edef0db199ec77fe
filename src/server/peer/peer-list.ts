import type { MemberId } from '../../raft/types.js';
import type { PeerTransport } from './types.js';

interface MemberList {
  list(): readonly { readonly ID: MemberId; readonly peerURLs: readonly string[] }[];
  removedIds(): readonly MemberId[];
}

/** The other members, as the transport is told of them. */
export class PeerList {
  private readonly members: MemberList;
  private readonly memberId: MemberId;
  private readonly transport: Pick<PeerTransport, 'setPeers'>;

  constructor(members: MemberList, memberId: MemberId, transport: Pick<PeerTransport, 'setPeers'>) {
    this.members = members;
    this.memberId = memberId;
    this.transport = transport;
  }

  get size(): number {
    return this.members.list().length - 1;
  }

  /** Hands the list to the transport; called whenever it changed. */
  readonly publish = (): void => {
    const others = this.members.list().filter(({ ID }) => ID !== this.memberId);
    this.transport.setPeers(
      others.map(({ ID, peerURLs }) => ({ id: ID, urls: peerURLs })),
      this.members.removedIds(),
    );
  };
}
