import { expect } from 'chai';
import {
  etcdctlProgram,
  etcdProgram,
  skipWithout,
  startCluster,
  versionOf,
  type TestCluster,
} from '../support/servers.js';
import { CLUSTER_CASES } from './cluster-cases.js';
import { KV_CASES } from './kv-cases.js';
import { LEASE_CASES } from './lease-cases.js';
import { transcriptOf, type Case } from './script.js';
import { SETUPS } from './setups.js';
import { WATCH_CASES } from './watch-cases.js';

/** The same etcdctl commands against mainstay and against a real etcd must print the same. */

const GROUPS: Readonly<Record<string, readonly Case[]>> = {
  KV: KV_CASES,
  watch: WATCH_CASES,
  lease: LEASE_CASES,
  cluster: CLUSTER_CASES,
};

const etcd = versionOf(etcdProgram(), '--version');

for (const { name, size, flags } of SETUPS) {
  describe(`etcdctl against ${name}`, () => {
    let ours: TestCluster | undefined;
    let theirs: TestCluster | undefined;
    let failed = false;

    before(async function () {
      if (versionOf(etcdctlProgram(), 'version') === null) skipWithout(this, 'etcdctl');
      if (etcd === null) skipWithout(this, 'etcd to compare with');
      [ours, theirs] = await Promise.all([
        startCluster({ kind: 'mainstay', size, flags }),
        startCluster({ kind: 'etcd', size }),
      ]);
    });

    afterEach(function () {
      failed ||= this.currentTest?.state === 'failed';
    });

    after(async () => {
      await Promise.all([ours?.stop(failed), theirs?.stop()]);
    });

    for (const [group, cases] of Object.entries(GROUPS)) {
      describe(group, () => {
        for (const test of cases) {
          if (size > 1 && test.oneMemberOnly !== undefined) continue;
          it(titleOf(test), async () => {
            const [got, wanted] = await Promise.all([
              transcriptOf(test, ours as TestCluster),
              differenceOf(test) ?? transcriptOf(test, theirs as TestCluster),
            ]);
            expect(got).to.equal(wanted);
          });
        }
      });
    }
  });
}

function titleOf(test: Case): string {
  const rows = test.rows === undefined ? '' : ` (row ${test.rows})`;
  const differs = test.differs === undefined ? '' : `; differs: ${test.differs.reason}`;
  return `${test.name}${rows}${differs}`;
}

/** The transcript mainstay must give where it must not give that of the installed etcd. */
function differenceOf(test: Case): string | null {
  const { differs } = test;
  if (differs === undefined) return null;
  const applies = differs.below === undefined || (etcd !== null && etcd.minor < differs.below);
  return applies ? differs.transcript.join('\n') : null;
}
