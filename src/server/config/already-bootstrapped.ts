import { idText } from '../../base/bytes/id-text.js';
import { StartupError } from '../../base/flags/startup-error.js';
import { httpGet } from '../../base/net/http-get.js';
import type { Bootstrap } from '../contract/bootstrap.js';

/**
 * Asks the other members of a new cluster, before a member without data joins it, if this member
 * started before. One that has lost its data must not come back under its old id. It could vote
 * twice in a term, and its earlier acknowledgements no longer hold (Ongaro, "Consensus: Bridging
 * Theory and Practice", 3.8).
 *
 * No answer is the ordinary case, a cluster that is just being started. An answer of another
 * cluster counts as none: this member waits, as etcd's do, so that a cluster can be rebuilt in
 * place, one member after the other.
 */
const ASK_TIMEOUT_MS = 1000;

interface MemberEntry {
  readonly id: string;
  /** A member publishes its client URLs once it has started. */
  readonly hasStarted: boolean;
}

/**
 * Throws: StartupError when a peer of the same cluster reports that this member has started
 * already.
 */
export async function refuseIfBootstrapped(bootstrap: Bootstrap, dataDir: string): Promise<void> {
  const urls = bootstrap.members
    .filter((member) => member.id !== bootstrap.memberId)
    .flatMap((member) => member.peerURLs);
  const answers = await Promise.all(urls.map((url) => ask(url)));
  for (const answer of answers) {
    if (answer?.clusterId !== idText(bootstrap.clusterId)) continue;
    const own = answer.members.find((member) => member.id === bootstrap.memberId.toString());
    if (own?.hasStarted === true) {
      throw new StartupError(
        `member ${idText(bootstrap.memberId)} has already been bootstrapped, but ${dataDir} holds no data of it`,
        'point --data-dir at the data of this member or restore it from a backup; a member that lost its data must not come back under its old id',
      );
    }
  }
}

interface Answer {
  readonly clusterId: string;
  readonly members: readonly MemberEntry[];
}

async function ask(url: string): Promise<Answer | undefined> {
  try {
    const { status, headers, body } = await httpGet(url, '/members', ASK_TIMEOUT_MS);
    const clusterId = headers['x-etcd-cluster-id'];
    if (status !== 200 || typeof clusterId !== 'string') return undefined;
    return { clusterId, members: entriesOf(body) };
  } catch {
    // Not running, not reachable, or not a member: no objection to this start.
    return undefined;
  }
}

/** The entries of a /members answer. Ids are numbers of 64 bits, so they are taken from the text. */
function entriesOf(text: string): MemberEntry[] {
  const quoted = text.replace(/"id":(\d+)/g, '"id":"$1"');
  const list: unknown = JSON.parse(quoted);
  if (!Array.isArray(list)) return [];
  return list.map((entry: { id?: unknown; clientURLs?: unknown }) => ({
    id: typeof entry.id === 'string' ? entry.id : '',
    hasStarted: Array.isArray(entry.clientURLs) && entry.clientURLs.length > 0,
  }));
}
