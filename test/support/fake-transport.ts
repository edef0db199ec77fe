import type { Done } from '../../src/base/env/env.js';
import type { MemberId, Message } from '../../src/raft/types.js';
import type { PeerRequest } from '../../src/server/contract/roles.js';
import type { SnapshotSource } from '../../src/storage/engine.js';
import type { PeerAddress, PeerHandler, PeerTransport } from '../../src/server/peer/types.js';

/**
 * The network between members as a test plays it: keeps what a member sends, and hands over what
 * the test makes up through `handler`. Snapshots and requests are refused. A network that delivers
 * is SimTransport of test/sim.
 */
export class FakeTransport implements PeerTransport {
  /** Set by `start`. */
  handler: PeerHandler | undefined;
  readonly sent: Message[] = [];
  peers: readonly PeerAddress[] = [];

  start(handler: PeerHandler, done: Done): void {
    this.handler = handler;
    done(null);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    this.peers = peers;
  }

  send(messages: readonly Message[]): void {
    this.sent.push(...messages);
  }

  sendSnapshot(_message: Message, source: SnapshotSource, done: Done): void {
    source.close();
    done(new Error('no snapshots here'));
  }

  request(
    _to: MemberId,
    _kind: PeerRequest,
    _body: Uint8Array,
    _timeoutMs: number,
    done: (error: Error | null, body: Uint8Array | null) => void,
  ): void {
    done(new Error('no requests here'), null);
  }

  connectedSince(): number | undefined {
    return undefined;
  }

  close(done: () => void): void {
    done();
  }
}
