/**
 * Command lines of the real kubectl against our control plane, as they were recorded on a real one
 * (test/golden/kubectl). Each difference is in test/golden/kubectl-differences.json with its class;
 * one that is not there fails, and so does one that is there and has gone.
 */
import { expect } from 'chai';
import { findKubectl, releaseOf } from '../../support/kubectl.js';
import { skipWithout } from '../../support/servers.js';
import { TranscriptCluster } from './transcript-cluster.js';
import { listedDifferences } from './transcript-differences.js';
import { Replay, type Outcome } from './transcript-replay.js';
import { GROUPS, transcriptsOf, type Group } from './transcript.js';

/** Of kubectl: texts of others may be different. */
const RELEASES = ['1.36', '1.35'];

const listed = listedDifferences();

describe('kubectl beside its transcripts', function () {
  this.timeout(120_000);
  let cluster: TranscriptCluster | undefined;
  let replay: Replay;

  before(async function () {
    const program = await findKubectl(RELEASES);
    if (program === undefined) return skipWithout(this, 'kubectl, and none to be fetched');
    cluster = await TranscriptCluster.start();
    replay = new Replay(cluster, program, releaseOf(program) ?? '', listed);
  });

  after(() => cluster?.stop());

  for (const group of GROUPS) {
    it(group, async () => {
      const outcomes = await replay.group(group);
      console.log(`      ${share(group, outcomes)}`);
      const problems = outcomes.flatMap(({ number, command, problems: own }) =>
        own.map((problem) => `${group} ${number}: ${command}: ${problem}`),
      );
      expect(problems).to.deep.equal([]);
    });
  }

  it('lists differences of commands that there are, each with a reason', () => {
    const used = new Set<string>();
    const lists = [listed.differences, listed.notReplayable];
    for (const [group, number] of lists.flatMap(Object.entries).flatMap(numbersOf)) {
      expect(GROUPS).to.include(group);
      expect(transcriptsOf(group as Group), group).to.have.property(number);
    }
    for (const [group, own] of Object.entries(listed.differences)) {
      for (const [number, { class: of, exit }] of Object.entries(own)) {
        const { reason, isOfScope } = listed.classes[of] ?? { reason: '', isOfScope: false };
        used.add(of);
        expect(reason, `${group} ${number}: ${of}`).not.to.equal('');
        if (!isOfScope) expect(exit, `${group} ${number}: the exit code`).to.equal(undefined);
      }
    }
    expect([...used].sort()).to.deep.equal(Object.keys(listed.classes).sort());
  });
});

function numbersOf([group, own]: [string, object]): [string, string][] {
  return Object.keys(own).map((number) => [group, number.replace(/ .*/, '')]);
}

function share(group: Group, outcomes: readonly Outcome[]): string {
  const isAlike = ({ found }: Outcome): boolean => Object.keys(found).length === 0;
  const isOfScope = ({ listed: known }: Outcome): boolean =>
    listed.classes[known?.class ?? '']?.isOfScope ?? false;
  const others = outcomes.filter((one) => !isAlike(one));
  const unserved = others.filter(isOfScope).length;
  const left = transcriptsOf(group).length - outcomes.length;
  return [
    `${group}: ${outcomes.filter(isAlike).length} of ${outcomes.length} alike`,
    ...(unserved === 0 ? [] : [`${unserved} about what is not served, or by intent`]),
    ...(others.length === unserved ? [] : [`${others.length - unserved} other`]),
    ...(left === 0 ? [] : [`${left} not replayed`]),
  ].join(', ');
}
