/**
 * Sees to it that one process speaks for a member.
 *
 * A hello proves nothing: a second process with a copied data directory sends the same one. So a
 * connection is only replaced by one of the same process, or after it failed to give a sign of
 * life. Two processes that kept cutting each other's connections would hold up both, and could each
 * vote in one term.
 */
import type { MemberId } from '../../raft/types.js';
import type { PeerContext } from './context.js';
import { idText } from '../../base/bytes/id-text.js';
import type { IncomingConnection } from './incoming.js';
import { STABLE_MS } from './limits.js';
import type { PeerLink } from './peer-link.js';

const ADVICE =
  'two processes run with one identity: stop the one whose data directory is a copy, before both vote';

export class IdentityGuard {
  private readonly context: PeerContext;
  /** Accepted connections, and others. */
  private readonly connections: ReadonlySet<IncomingConnection>;
  /** Members about which a line was logged already. */
  private readonly reported = new Set<MemberId>();

  constructor(context: PeerContext, connections: ReadonlySet<IncomingConnection>) {
    this.context = context;
    this.connections = connections;
  }

  /** See Admission.contest. */
  contest(from: MemberId, incarnation: number, done: (refusal: string) => void): void {
    const incumbent = this.incumbentOf(from);
    // A process has one connection for messages: when it makes another, the one before is dead.
    if (incumbent === undefined || incumbent.incarnation === incarnation) return done('');
    incumbent.proveAlive((isAlive) => {
      if (isAlive) return done(`another process answers for member ${idText(from)}: ${ADVICE}`);
      incumbent.destroy();
      // A third process may have taken the place meanwhile.
      this.contest(from, incarnation, done);
    });
  }

  /** Open connections from `id` that bring a snapshot. */
  snapshotsFrom(id: MemberId): number {
    let count = 0;
    for (const connection of this.connections) {
      if (connection.from === id && connection.kind === 'snapshot' && connection.isOpen) count++;
    }
    return count;
  }

  /** Ends what an accepted connection takes the place of. */
  replaceBy(connection: IncomingConnection): void {
    if (connection.kind !== 'messages') return;
    for (const other of this.connections) {
      const isOlder =
        other !== connection && other.from === connection.from && other.kind === 'messages';
      if (isOlder) other.destroy();
    }
  }

  /**
   * Compares the process that answers at a member's URL with the one that made the connection from
   * there.
   */
  compare(link: PeerLink, nowMs: number): void {
    const { id } = link.address;
    const incumbent = this.incumbentOf(id);
    if (incumbent === undefined || link.upSinceMs === undefined || link.incarnation === 0) return;
    if (link.incarnation === incumbent.incarnation) {
      this.reported.delete(id);
      return;
    }
    // After a restart both connections change, one a little after the other.
    if (nowMs - Math.max(link.upSinceMs, incumbent.acceptedMs) < STABLE_MS) return;
    if (this.reported.has(id)) return;
    this.reported.add(id);
    this.context.log('error', 'a member has two processes', {
      peer: idText(id),
      'peer-urls': link.address.urls,
      reason: `the process at its URLs is another one than the process that connects as member ${idText(id)}`,
      next: ADVICE,
    });
  }

  private incumbentOf(id: MemberId): IncomingConnection | undefined {
    for (const connection of this.connections) {
      if (connection.from === id && connection.kind === 'messages' && connection.isOpen) {
        return connection;
      }
    }
    return undefined;
  }
}
