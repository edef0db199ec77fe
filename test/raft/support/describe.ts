import { EntryType, MessageType, Role } from '../../../src/raft/types.js';
import type { ConfState, Contradiction, Entry, Message, Ready } from '../../../src/raft/types.js';

const TYPE_NAMES = Object.keys(MessageType);
const ROLE_NAMES = Object.keys(Role);

export function roleName(role: number): string {
  return ROLE_NAMES[role] ?? '?';
}

export function describeConf(conf: ConfState): string {
  const learners = conf.learners.length === 0 ? '' : ` learners=${conf.learners.join(',')}`;
  return `voters=${conf.voters.join(',')}${learners}`;
}

function describeEntries(entries: readonly Entry[]): string {
  return entries
    .map(
      (e) =>
        `${e.term}/${e.index}${e.type === EntryType.confChange ? '!' : e.data.length === 0 ? '-' : ''}`,
    )
    .join(' ');
}

/** One line for a message; fields that carry nothing are left out. */
export function describeMessage(m: Message): string {
  let text = `${m.from}->${m.to} ${TYPE_NAMES[m.type] ?? '?'} t=${m.term}`;
  switch (m.type) {
    case MessageType.append:
      text += ` after=${m.logTerm}/${m.index} commit=${m.commit} [${describeEntries(m.entries)}]`;
      break;
    case MessageType.appendResponse:
      text += m.reject
        ? ` reject=${m.index} hint=${m.logTerm}/${m.rejectHint}`
        : ` holds=${m.logTerm}/${m.index}`;
      break;
    case MessageType.heartbeat:
      text += ` commit=${m.commit} round=${m.context}`;
      break;
    case MessageType.heartbeatResponse:
      text += ` round=${m.context}`;
      break;
    case MessageType.vote:
    case MessageType.preVote:
      text += ` log=${m.logTerm}/${m.index}${m.force ? ' force' : ''}`;
      break;
    case MessageType.voteResponse:
    case MessageType.preVoteResponse:
      text += m.reject ? ' no' : ' yes';
      break;
    case MessageType.snapshot:
      text += ` at=${m.snapshot?.term}/${m.snapshot?.index}`;
      if (m.snapshot !== null) text += ` ${describeConf(m.snapshot.confState)}`;
      break;
    case MessageType.propose:
      text += ` count=${m.entries.length}`;
      break;
    case MessageType.readIndex:
      text += ` context=${m.context}`;
      break;
    case MessageType.readIndexResponse:
      text += ` context=${m.context} index=${m.index}`;
      break;
    case MessageType.transferLeader:
      text += ` to=${m.transferee}`;
      break;
    default:
      break;
  }
  return text;
}

/** The work in a Ready, a line for each part that is there. */
export function describeReady(rd: Ready): string[] {
  const lines: string[] = [];
  if (rd.softState !== null)
    lines.push(`role ${roleName(rd.softState.role)} leader=${rd.softState.leader}`);
  if (rd.hardState !== null) {
    lines.push(
      `hard state t=${rd.hardState.term} vote=${rd.hardState.vote} commit=${rd.hardState.commit}`,
    );
  }
  if (rd.entries.length > 0) lines.push(`write [${describeEntries(rd.entries)}]`);
  if (rd.mustSync) lines.push('sync');
  if (rd.snapshot !== null) lines.push(`install ${rd.snapshot.term}/${rd.snapshot.index}`);
  for (const m of rd.messages) lines.push(`send ${describeMessage(m)}`);
  for (const m of rd.messagesAfterSync) lines.push(`send after sync ${describeMessage(m)}`);
  if (rd.committed.length > 0) lines.push(`apply [${describeEntries(rd.committed)}]`);
  for (const s of rd.readStates) lines.push(`read context=${s.context} index=${s.index}`);
  if (rd.contradiction !== null) lines.push(describeContradiction(rd.contradiction));
  return lines;
}

export function describeContradiction(c: Contradiction): string {
  if (c.kind === 'two-leaders') return `stop: ${c.leader} and ${c.other} lead term ${c.term}`;
  const { own, theirs } = c;
  return `stop: committed ${own.term}/${own.index}, leader ${c.leader} of term ${c.term} has ${theirs.term}/${theirs.index}`;
}
