import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { ApiCore } from '../../../support/api-core.js';
import { revisionOf, send, type List } from '../../../support/api-requests.js';
import {
  etcdProgram,
  skipWithout,
  startCluster,
  type ServerKind,
  type TestCluster,
} from '../../../support/servers.js';
import { History, type Act } from './history.js';

const act: fc.Arbitrary<Act> = fc.record({
  what: fc.constantFrom(
    'create' as const,
    'create' as const,
    'generate' as const,
    'replace' as const,
    'replace' as const,
    'replaceBlindly' as const,
    'merge' as const,
    'merge' as const,
    'hold' as const,
    'release' as const,
    'delete' as const,
    'deleteExactly' as const,
    'dryCreate' as const,
    'dryMerge' as const,
    'dryDelete' as const,
    'get' as const,
    'list' as const,
  ),
  name: fc.constantFrom('a', 'b', 'c'),
  isSecond: fc.boolean(),
  color: fc.constantFrom('red', 'blue'),
});
const clients = fc.array(fc.array(act, { minLength: 3, maxLength: 14 }), {
  minLength: 2,
  maxLength: 5,
});

const KINDS: readonly { readonly kind: ServerKind; readonly runs: number }[] = [
  { kind: 'mainstay', runs: 12 },
  { kind: 'etcd', runs: 4 },
];

for (const { kind, runs } of KINDS) {
  describe(`registry on a store of ${kind}, clients of two API servers at once`, () => {
    let store: TestCluster;
    let servers: [ApiCore, ApiCore];
    let count = 0;

    before(async function () {
      if (kind === 'etcd' && spawnSync(etcdProgram(), ['--version']).status !== 0) {
        skipWithout(this, 'etcd');
      }
      store = await startCluster({ kind, size: 1 });
      const { endpoint } = store.member(0);
      servers = [new ApiCore(endpoint), new ApiCore(endpoint)];
      await Promise.all(servers.map(({ core }) => core.start()));
    });

    after(async function () {
      await Promise.all(servers.map((server) => server.stop()));
      await store.stop();
    });

    it('loses no write, orders all, and shows every watcher and list the same history', async () => {
      await fc.assert(
        fc.asyncProperty(clients, async (scripts) => {
          const namespace = `run-${count++}`;
          const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
          await send(servers[0], 'POST', '/api/v1/namespaces', { body });
          const path = `/api/v1/namespaces/${namespace}/configmaps`;
          const from = revisionOf((await send<List>(servers[1], 'GET', path)).body);
          const history = new History(servers, namespace);
          await Promise.all(scripts.map((script) => history.run(script)));
          await history.verify(from);
        }),
        { numRuns: runs, endOnFailure: true },
      );
    });
  });
}
