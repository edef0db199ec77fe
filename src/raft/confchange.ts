import { invariant } from '../base/invariant.js';
import { ConfChangeType, NONE } from './types.js';
import type { ConfChange, ConfState, MemberId } from './types.js';

function byId(a: MemberId, b: MemberId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function without(ids: readonly MemberId[], id: MemberId): MemberId[] {
  return ids.filter((other) => other !== id);
}

function withId(ids: readonly MemberId[], id: MemberId): MemberId[] {
  return [...ids, id].sort(byId);
}

/**
 * Returns the configuration after `change`, or `conf` itself when the change has no effect.
 *
 * A change that cannot be carried out has no effect: an unknown member, the last voter, a voter to
 * be made a learner. It is no error, because every member must pass the same log entry in the same
 * way (R17).
 * Invariant: the sets of voters before and after differ in at most one member, so their majorities intersect.
 */
export function applyChange(conf: ConfState, change: ConfChange): ConfState {
  const after = changed(conf, change);
  invariant(
    Math.abs(after.voters.length - conf.voters.length) <= 1 &&
      conf.voters.length > 0 === after.voters.length > 0,
    'a change makes {} voters of {}',
    after.voters.length,
    conf.voters.length,
  );
  return after;
}

function changed(conf: ConfState, change: ConfChange): ConfState {
  const id = change.memberId;
  if (id === NONE) return conf;
  const isVoter = conf.voters.includes(id);
  const isLearner = conf.learners.includes(id);
  switch (change.type) {
    case ConfChangeType.addVoter:
      if (isVoter) return conf;
      return { voters: withId(conf.voters, id), learners: without(conf.learners, id) };
    case ConfChangeType.addLearner:
      if (isVoter || isLearner) return conf;
      return { voters: conf.voters, learners: withId(conf.learners, id) };
    case ConfChangeType.removeMember:
      if (isLearner) return { voters: conf.voters, learners: without(conf.learners, id) };
      if (!isVoter || conf.voters.length === 1) return conf;
      return { voters: without(conf.voters, id), learners: conf.learners };
    case ConfChangeType.updateMember:
      return conf;
    default:
      // The type came out of a log entry's bytes; an unknown number is an invalid change.
      return conf;
  }
}

/** A copy in canonical order; the caller's arrays stay the caller's. */
export function canonicalConf(conf: ConfState): ConfState {
  return { voters: [...conf.voters].sort(byId), learners: [...conf.learners].sort(byId) };
}

/** True if `conf` could be the configuration of a running cluster: some voter, no member twice. */
export function isUsableConf(conf: ConfState): boolean {
  const seen = new Set<MemberId>();
  for (const id of conf.voters) seen.add(id);
  for (const id of conf.learners) seen.add(id);
  return (
    conf.voters.length > 0 &&
    !seen.has(NONE) &&
    seen.size === conf.voters.length + conf.learners.length
  );
}
