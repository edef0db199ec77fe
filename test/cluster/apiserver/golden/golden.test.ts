/**
 * Answers of a real kube-apiserver 1.36, request by request, against ours (test/golden). Each
 * difference is in test/golden/differences.json with its class; one that is not there fails, and so
 * does one that is there and has gone.
 */
import { expect } from 'chai';
import { readFileSync, readdirSync } from 'node:fs';
import { startCluster, type TestCluster } from '../../../support/servers.js';
import { makeAuthority } from '../../support/certificates.js';
import { privateKey } from '../auth/token-fixture.js';
import { recorded } from '../recording.js';
import { replay, type Outcome } from './replay.js';
import { TestApiServer, type ServerKeys } from './test-server.js';
import type { BaseState } from './world.js';

const FOLDERS = [
  'apply',
  'auth',
  'bootstrap',
  'defaults',
  'delete',
  'discovery',
  'extra',
  'list',
  'patch',
  'subresources',
  'tables',
  'validation',
  'watch',
];
/** They show what the server has by itself. */
const OF_RUNNING_SERVER: ReadonlySet<string> = new Set(['auth', 'bootstrap', 'discovery']);

interface Listed {
  readonly classes: Readonly<Record<string, Class>>;
  /** Recordings that cannot be replayed, with the reason. */
  readonly notReplayable: Readonly<Record<string, string>>;
  /** By recording and number of the step. */
  readonly differences: Readonly<Record<string, Readonly<Record<string, Difference>>>>;
}

interface Class {
  readonly reason: string;
  /** It may concern status, reason or causes: of something that is not served, or by intent. */
  readonly isOfScope: boolean;
}

interface Difference {
  readonly class: string;
  /** Fields of the answer that differ. */
  readonly paths: readonly string[];
}

const DECIDING = /^\.status$|^\.body\.(?:reason|code|details\.causes)/;
const listed = json('differences') as Listed;
const states = json('states') as Readonly<Record<string, Record<string, BaseState>>>;

describe('cluster/apiserver/golden', () => {
  let cluster: TestCluster;
  let keys: ServerKeys;

  before(async () => {
    const authority = await makeAuthority();
    const tls = { ...(await authority.server()), ca: authority.ca };
    keys = { tls, serviceAccountKey: privateKey('rsa') };
    cluster = await startCluster({ kind: 'mainstay', size: 1 });
    const server = new TestApiServer(endpointOf(cluster), keys);
    const key = Buffer.from('compacted');
    const { header } = await server.store.kv.put({ key, value: key });
    // The first revisions are past, as they are on a server that has run for a while.
    await server.store.kv.compact({ revision: header?.revision ?? 0 });
    server.store.close();
  });

  after(() => cluster.stop());

  for (const folder of FOLDERS) {
    describe(folder, () => {
      const outcomes: Outcome[] = [];
      for (const name of recordingsIn(folder)) {
        it(name, async () => {
          const server = new TestApiServer(endpointOf(cluster), keys);
          try {
            const recording = {
              name,
              steps: recorded(name),
              states: states[name] ?? {},
              isOfRunningServer: OF_RUNNING_SERVER.has(folder),
            };
            const own = await replay(server, recording);
            outcomes.push(...own);
            expect(explained(own, name)).to.deep.equal([]);
          } finally {
            await server.stop();
          }
        });
      }

      after(() => console.log(`      ${folder}: ${share(outcomes)}`));
    });
  }

  it('lists no difference that decides what a client does, but of what is not served', () => {
    const names = FOLDERS.flatMap(recordingsIn);
    for (const [name, steps] of Object.entries(listed.differences)) {
      expect(names).to.include(name);
      const count = recorded(name).length;
      expect(
        Object.keys(steps).filter((step) => Number(step) >= count),
        name,
      ).to.deep.equal([]);
      for (const [step, { class: of, paths }] of Object.entries(steps)) {
        const { isOfScope, reason } = listed.classes[of] ?? { isOfScope: false, reason: '' };
        expect(reason, `${name} ${step}: ${of}`).not.to.equal('');
        if (!isOfScope)
          expect(
            paths.filter((path) => DECIDING.test(path)),
            name,
          ).to.deep.equal([]);
      }
    }
  });
});

/** Differences that are not listed, and listed ones that do not occur. */
function explained(outcomes: readonly Outcome[], name: string): string[] {
  const own = listed.differences[name] ?? {};
  return outcomes.flatMap((outcome, step) => {
    const different = outcome.type === 'compared' ? outcome.different : [];
    const paths = own[String(step)]?.paths ?? [];
    const found = different.filter(([path]) => !paths.includes(path));
    const gone = paths.filter((path) => !different.some(([one]) => one === path));
    return [
      ...found.map(([path, values]) => `step ${step}: ${path}: ${values}`),
      ...gone.map((path) => `step ${step}: ${path} is listed, but does not differ any more`),
    ];
  });
}

function share(outcomes: readonly Outcome[]): string {
  const compared = outcomes.filter(({ type }) => type === 'compared');
  const same = compared.filter((one) => one.type === 'compared' && one.different.length === 0);
  const others = outcomes.length - compared.length;
  const percent = compared.length === 0 ? 0 : (same.length / compared.length) * 100;
  const rest = others === 0 ? '' : `, ${others} about what is not served`;
  return `${same.length} of ${compared.length} answers alike (${percent.toFixed(1)} %)${rest}`;
}

function recordingsIn(folder: string): string[] {
  return readdirSync(`test/golden/${folder}`)
    .map((file) => `${folder}/${file.replace(/\.json$/, '')}`)
    .filter((name) => listed.notReplayable[name] === undefined)
    .sort();
}

function json(name: string): unknown {
  return JSON.parse(readFileSync(`test/golden/${name}.json`, 'utf8'));
}

function endpointOf(cluster: TestCluster): string {
  const [endpoint] = cluster.endpoints;
  if (endpoint === undefined) throw new Error('no member');
  return endpoint;
}
