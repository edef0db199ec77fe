/**
 * Who may import whom (docs/ARCHITECTURE.md). Each rule has a planted violation in test/tooling/import-rules.test.ts
 * that it must report, because a graph check that parses nothing reports nothing.
 */
const LEAVES = 'src/(invariant|crc32c)[.]ts$';

/** `from` may import only what `allowed` matches; Node's modules and packages count unless listed. */
const only = (name, from, allowed, comment) => ({
  name,
  severity: 'error',
  comment,
  from: { path: from },
  to: { pathNot: allowed },
});

const never = (name, from, to, comment) => ({ name, severity: 'error', comment, from, to });

module.exports = {
  forbidden: [
    never(
      'no-circular',
      {},
      { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
      'A cycle has no bottom to test from.',
    ),
    never(
      'not-to-unresolvable',
      {},
      { couldNotResolve: true },
      'An import that does not resolve hides the rest of the graph.',
    ),
    never(
      'no-barrels',
      {},
      { path: '/index[.]ts$', pathNot: 'node_modules' },
      'Import the file that has it.',
    ),
    never(
      'product-not-from-tests',
      { path: '^src/' },
      { path: '^(test|bench|jepsen-like|scripts)/' },
      'The product stands alone.',
    ),
    never(
      'no-dev-packages',
      { path: '^src/' },
      { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'] },
      'What ships is in dependencies.',
    ),
    only(
      'raft-imports-nothing',
      '^src/raft/',
      ['^src/raft/', '^src/invariant[.]ts$'],
      'Consensus is pure.',
    ),
    {
      name: 'env-imports-nothing',
      severity: 'error',
      comment: 'The bottom seam: the operating system above nothing.',
      from: { path: '^src/env/' },
      to: { pathNot: ['^src/env/', '^src/invariant[.]ts$'], dependencyTypesNot: ['core'] },
    },
    only(
      'wal-knows-types-only',
      '^src/wal/',
      ['^src/wal/', '^src/raft/types[.]ts$', '^src/env/env[.]ts$', `^${LEAVES}`, '^path$'],
      'The log stores entries; it does not know what they mean.',
    ),
    only(
      'mvcc-stands-alone',
      '^src/mvcc/',
      [
        '^src/mvcc/',
        '^src/gen/',
        '^src/rpc/proto-runtime[.]ts$',
        '^src/env/env[.]ts$',
        `^${LEAVES}`,
        'node_modules/classic-level/',
        '^path$',
      ],
      'The store knows no consensus and no network.',
    ),
    never(
      'rpc-knows-no-store',
      { path: '^src/rpc/' },
      { path: '^src/(mvcc|raft|wal|server|client|cluster|cli)/' },
      'A transport carries bytes for anybody.',
    ),
    only(
      'gen-imports-runtime',
      '^src/gen/',
      ['^src/gen/', '^src/rpc/proto-(runtime|json)[.]ts$'],
      'Generated codecs need their runtime only.',
    ),
    never(
      'server-looks-down',
      { path: '^src/server/' },
      { path: '^src/(client|cluster|cli)/' },
      'A member knows no clients.',
    ),
    never(
      'client-is-outside',
      { path: '^src/client/' },
      { path: '^src/(raft|wal|mvcc|server|cluster|cli)/' },
      'A client has the wire and nothing else.',
    ),
    never(
      'cluster-only-through-the-api',
      { path: '^src/cluster/' },
      { path: '^src/(raft|wal|mvcc|server|cli)/' },
      'The control plane is a client.',
    ),
    never(
      'cli-starts-things',
      { path: '^src/cli/' },
      { path: '^src/(raft|wal|mvcc|rpc)/', pathNot: '^src/rpc/(proto-runtime|service)[.]ts$' },
      'The command line reaches the inside through server and client.',
    ),
    never(
      'only-level-engine-has-leveldb',
      { path: '^src/', pathNot: '^src/mvcc/level-engine[.]ts$' },
      { path: 'node_modules/classic-level/' },
      'One file to replace.',
    ),
    never(
      'harness-is-black-box',
      { path: '^(jepsen-like|bench)/', pathNot: '^bench/micro/' },
      { path: '^src/', pathNot: '^src/gen/' },
      'What is measured or attacked is reached over the wire.',
    ),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: `${__dirname}/tsconfig.json` },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types'],
    },
  },
};
