import { isUsableConf } from './confchange.js';
import { TERM_MAX } from './limits.js';
import { EntryType, MessageType } from './types.js';
import type { Entry, Message, SnapshotMeta } from './types.js';

/**
 * True if every field of a message is within its bounds and the fields agree with each other. No
 * rule has to check again (R26).
 */
export function isWellFormed(m: Message): boolean {
  return (
    isCount(m.type) &&
    m.type <= MessageType.transferLeader &&
    typeof m.to === 'bigint' &&
    typeof m.from === 'bigint' &&
    typeof m.transferee === 'bigint' &&
    isTerm(m.term) &&
    isTerm(m.logTerm) &&
    isCount(m.index) &&
    isCount(m.commit) &&
    isCount(m.rejectHint) &&
    isCount(m.context) &&
    isCount(m.incarnation) &&
    typeof m.reject === 'boolean' &&
    typeof m.force === 'boolean' &&
    Array.isArray(m.entries) &&
    (m.entries.length === 0 || hasGoodEntries(m)) &&
    (m.type !== MessageType.append || m.logTerm <= m.term) &&
    (m.type !== MessageType.snapshot || isGoodSnapshot(m.snapshot, m.term))
  );
}

function isCount(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0;
}

function isTerm(n: number): boolean {
  return isCount(n) && n <= TERM_MAX;
}

function hasGoodEntries(m: Message): boolean {
  if (m.type === MessageType.propose) return m.entries.every(hasPayload);
  if (m.type !== MessageType.append) return false;
  let term = Math.max(1, m.logTerm);
  let index = m.index;
  for (let i = 0; i < m.entries.length; i++) {
    const e = m.entries[i];
    if (e === undefined || !hasPayload(e) || !isTerm(e.term)) return false;
    index++;
    if (e.index !== index || e.term < term || e.term > m.term) return false;
    term = e.term;
  }
  return Number.isSafeInteger(index);
}

function hasPayload(e: Entry): boolean {
  return (
    typeof e === 'object' &&
    e !== null &&
    (e.type === EntryType.normal || e.type === EntryType.confChange) &&
    e.data instanceof Uint8Array
  );
}

function isGoodSnapshot(s: SnapshotMeta | null, term: number): boolean {
  if (s === null || typeof s !== 'object' || !isCount(s.index) || !isTerm(s.term)) return false;
  if (s.index === 0 || s.term === 0 || s.term > term) return false;
  const conf = s.confState;
  return (
    typeof conf === 'object' &&
    conf !== null &&
    Array.isArray(conf.voters) &&
    Array.isArray(conf.learners) &&
    conf.voters.every((id) => typeof id === 'bigint') &&
    conf.learners.every((id) => typeof id === 'bigint') &&
    isUsableConf(conf)
  );
}
