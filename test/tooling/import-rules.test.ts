import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { expect } from 'chai';
import { checkImports, importRules } from '../../scripts/imports.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** One planted violation for each rule: the file, what it holds, and files it needs. */
const CANARIES: Record<string, readonly [string, string]> = {
  'no-circular': [
    'src/server/http/first.ts',
    "import { b } from './second.js';\nexport const a = () => b;",
  ],
  'server-folders-only': ['src/server/http/uses-loose.ts', "export { z } from '../loose.js';"],
  'not-to-unresolvable': [
    'src/server/lost.ts',
    "import { a } from './nowhere.js';\nexport const b = a;",
  ],
  'no-barrels': ['src/server/use-barrel.ts', "export { c } from './parts/index.js';"],
  'product-not-from-tests': ['src/server/uses-test.ts', "export { t } from '../../test/help.js';"],
  'no-dev-packages': ['src/server/uses-chai.ts', "export { expect } from 'chai';"],
  'raft-imports-nothing': [
    'src/raft/reads-clock.ts',
    "export { performance } from 'node:perf_hooks';",
  ],
  'base-is-the-bottom': [
    'src/base/slices/calls-store.ts',
    "export { m } from '../../mvcc/plain.js';",
  ],
  'env-imports-nothing': ['src/base/env/looks-up.ts', "export { n } from '../bytes/plain.js';"],
  'real-environment-at-the-edge': [
    'src/server/member/reads-clock.ts',
    "export { e } from '../../base/env/node.js';",
  ],
  'wal-knows-types-only': ['src/wal/calls-raft.ts', "export { r } from '../raft/plain.js';"],
  'storage-knows-no-revision-history': [
    'src/storage/calls-store.ts',
    "export { m } from '../mvcc/plain.js';",
  ],
  'mvcc-stands-alone': ['src/mvcc/calls-raft.ts', "export { r } from '../raft/plain.js';"],
  'watch-stands-on-mvcc': ['src/watch/calls-lease.ts', "export { l } from '../lease/plain.js';"],
  'lease-stands-on-mvcc': [
    'src/lease/calls-storage.ts',
    "export { s } from '../storage/plain.js';",
  ],
  'rpc-knows-no-store': ['src/rpc/calls-store.ts', "export type { M } from '../mvcc/plain.js';"],
  'gen-imports-runtime': ['src/gen/calls-store.ts', "export { m } from '../mvcc/plain.js';"],
  'client-serves-the-outside': [
    'src/rpc/calls-client.ts',
    "export { k } from '../client/plain.js';",
  ],
  'server-looks-down': ['src/server/calls-client.ts', "export { k } from '../client/plain.js';"],
  'client-is-outside': ['src/client/calls-store.ts', "export { m } from '../mvcc/plain.js';"],
  'cluster-only-through-the-api': [
    'src/cluster/api/calls-store.ts',
    "export { m } from '../../mvcc/plain.js';",
  ],
  'only-the-api-server-has-the-store': [
    'src/cluster/scheduler/reads-store.ts',
    "export { k } from '../../client/plain.js';",
  ],
  'kubelet-has-the-runtime-by-its-interface': [
    'src/cluster/kubelet/starts-engine.ts',
    "export { y } from '../runtime/engine.js';",
  ],
  'real-cluster-environment-at-the-edge': [
    'src/cluster/proxy/reads-clock.ts',
    "export { w } from '../system-env.js';",
  ],
  'cli-starts-things': ['src/cli/calls-raft.ts', "export { r } from '../raft/plain.js';"],
  'only-level-engine-has-leveldb': [
    'src/storage/opens-leveldb.ts',
    "export { ClassicLevel } from 'classic-level';",
  ],
  'harness-is-black-box': [
    'bench/calls-server.ts',
    "export { a } from '../src/server/http/first.js';",
  ],
};

/** Each part of the cluster that reaches for one it must not use. */
for (const part of [
  'api',
  'client',
  'streams',
  'pki',
  'apiserver',
  'controllers',
  'scheduler',
  'runtime',
  'kubelet',
  'proxy',
]) {
  CANARIES[`cluster-${part}-looks-down`] = [
    `src/cluster/${part}/looks-up.ts`,
    "export { x } from '../fabric/plain.js';",
  ];
}

/** Files the canaries import; none of them breaks a rule itself. */
const SURROUNDINGS: Record<string, string> = {
  'package.json':
    '{"type":"module","dependencies":{"classic-level":"*"},"devDependencies":{"chai":"*"}}',
  'src/server/loose.ts': 'export const z = 1;',
  'src/cluster/fabric/plain.ts': 'export const x = 1;',
  'src/cluster/runtime/engine.ts': 'export const y = 1;',
  'src/cluster/system-env.ts': 'export const w = 1;',
  'src/server/http/second.ts': "import { a } from './first.js';\nexport const b = () => a;",
  'src/server/parts/index.ts': 'export const c = 1;',
  'src/mvcc/plain.ts': 'export const m = 1;\nexport type M = number;',
  'src/storage/level-engine.ts': "export { ClassicLevel } from 'classic-level';",
  'src/base/bytes/plain.ts': 'export const n = 1;',
  'src/base/env/node.ts': 'export const e = 1;',
  'src/lease/plain.ts': 'export const l = 1;',
  'src/storage/plain.ts': 'export const s = 1;',
  'src/raft/plain.ts': 'export const r = 1;',
  'src/client/plain.ts': 'export const k = 1;',
  'test/help.ts': 'export const t = 1;',
};

/** Each folder of the server is planted with an import of the one above it. */
const SERVER_FOLDERS = importRules()
  .forbidden.map((rule) => /^server-(\w+)-looks-down$/.exec(rule.name ?? '')?.[1])
  .filter((folder) => folder !== undefined);
for (const [i, folder] of SERVER_FOLDERS.entries()) {
  const above = SERVER_FOLDERS[i + 1] ?? 'offline';
  CANARIES[`server-${folder}-looks-down`] = [
    `src/server/${folder}/looks-up.ts`,
    `export { x } from '../${above}/plain.js';`,
  ];
  SURROUNDINGS[`src/server/${above}/plain.ts`] = 'export const x = 1;';
}

describe('import rules', () => {
  let tree = '';

  before(() => {
    tree = mkdtempSync(join(tmpdir(), 'mainstay-imports-'));
    for (const [path, text] of [...Object.entries(SURROUNDINGS), ...Object.values(CANARIES)]) {
      mkdirSync(dirname(join(tree, path)), { recursive: true });
      writeFileSync(join(tree, path), `${text}\n`);
    }
    symlinkSync(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  });

  after(() => {
    rmSync(tree, { recursive: true, force: true });
  });

  it('has a planted violation for every rule', () => {
    const rules = importRules().forbidden.map((rule) => rule.name ?? '');
    expect(Object.keys(CANARIES)).to.have.members(rules);
  });

  it('reports every planted violation and nothing else', async () => {
    const report = await checkImports(tree);
    const found = report.violations.map((violation) => `${violation.rule} ${violation.from}`);
    for (const [rule, [path]] of Object.entries(CANARIES))
      expect(found).to.include(`${rule} ${path}`);
    const planted = new Set(Object.values(CANARIES).map(([path]) => path));
    // The cycle is reported at both of its ends.
    planted.add('src/server/http/second.ts');
    expect(report.violations.filter((violation) => !planted.has(violation.from))).to.deep.equal([]);
    expect(report.modulesRead).to.equal(report.filesThere);
  });

  it('finds no loose file beside the folders of the server', () => {
    const loose = readdirSync(join(ROOT, 'src/server'), { withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => entry.name);
    expect(loose).to.deep.equal(['run.ts']);
  });

  it('reads every source file of the project', async () => {
    const report = await checkImports(ROOT);
    expect(report.filesThere).to.be.greaterThan(20);
    expect(report.modulesRead).to.equal(report.filesThere);
  });
});
