/**
 * Who may import whom (docs/ARCHITECTURE.md). Each rule has a planted violation in test/tooling/import-rules.test.ts
 * that it must report, because a graph check that parses nothing reports nothing.
 */
/** What pure code may use of src/base: nothing that reads a clock, a disk, a socket or a terminal. */
const PURE_BASE = '^src/base/(invariant[.]ts|env/env[.]ts|bytes/|collections/|protobuf/|slices/)';

/** `from` may import only what `allowed` matches; Node's modules and packages count unless listed. */
const only = (name, from, allowed, comment) => ({
  name,
  severity: 'error',
  comment,
  from: { path: from },
  to: { pathNot: allowed },
});

const never = (name, from, to, comment) => ({ name, severity: 'error', comment, from, to });

/** Folders of src/server from the lowest up: each may import those before it. run.ts may import all. */
const SERVER_FOLDERS = [
  'contract',
  'config',
  'directory',
  'peer',
  'membership',
  'upkeep',
  'reads',
  'apply',
  'snapshot',
  'lease',
  'metrics',
  'member',
  'services',
  'http',
  'startup',
  'offline',
];

const serverLooksDown = SERVER_FOLDERS.slice(0, -1).map((folder, i) =>
  never(
    `server-${folder}-looks-down`,
    { path: `^src/server/${folder}/` },
    { path: `^src/server/(${SERVER_FOLDERS.slice(i + 1).join('|')})/|^src/server/run[.]ts$` },
    'A folder of the server that imports a higher one closes a circle.',
  ),
);

/**
 * Parts of the cluster, and the parts that each may use besides src/base, src/gen and what all
 * share (env.ts, turns.ts). What puts processes together (fabric, control-plane, node-process) may
 * use all.
 */
const CLUSTER_PARTS = {
  api: [],
  client: ['api'],
  streams: [],
  pki: [],
  apiserver: ['api', 'client', 'streams'],
  controllers: ['api', 'client'],
  scheduler: ['api', 'client'],
  runtime: [],
  kubelet: ['api', 'client', 'streams', 'runtime'],
  proxy: ['api', 'client'],
};

const clusterLooksDown = Object.entries(CLUSTER_PARTS).map(([part, others]) =>
  never(
    `cluster-${part}-looks-down`,
    { path: `^src/cluster/${part}/` },
    { path: `^src/cluster/(?!(${[part, ...others].join('|')})/|env[.]ts$|turns[.]ts$)` },
    'Parts of the cluster meet through the API, the client and their interfaces.',
  ),
);

module.exports = {
  forbidden: [
    ...serverLooksDown,
    ...clusterLooksDown,
    never(
      'only-the-api-server-has-the-store',
      { path: '^src/cluster/', pathNot: '^src/cluster/(apiserver|control-plane)/' },
      { path: '^src/client/' },
      'Everybody else is a client of the API server.',
    ),
    never(
      'kubelet-has-the-runtime-by-its-interface',
      { path: '^src/cluster/kubelet/' },
      { path: '^src/cluster/runtime/(?!runtime[.]ts$)' },
      'A container engine behind a socket fits as well.',
    ),
    never(
      'real-cluster-environment-at-the-edge',
      { path: '^src/', pathNot: '^src/(cli|cluster/(control-plane|node-process|fabric))/' },
      { path: '^src/cluster/system-env[.]ts$' },
      'Clock and chance are injected.',
    ),
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
      'base-is-the-bottom',
      '^src/base/',
      [
        '^src/base/',
        'node_modules/(sonic-boom|yaml)/',
        '^(?!src/|test/|node_modules/)[^/]+(/promises)?$',
      ],
      'What everybody may use, uses nobody.',
    ),
    only(
      'raft-imports-nothing',
      '^src/raft/',
      ['^src/raft/', '^src/base/invariant[.]ts$'],
      'Consensus is pure.',
    ),
    {
      name: 'env-imports-nothing',
      severity: 'error',
      comment: 'The bottom seam: the operating system above nothing.',
      from: { path: '^src/base/env/' },
      to: {
        pathNot: ['^src/base/env/', '^src/base/invariant[.]ts$'],
        dependencyTypesNot: ['core'],
      },
    },
    never(
      'real-environment-at-the-edge',
      { path: '^src/', pathNot: '^src/(server/run[.]ts|server/offline/|cli/|base/env/)' },
      { path: '^src/base/env/node[.]ts$' },
      'Clock, disk and chance are injected.',
    ),
    only(
      'wal-knows-types-only',
      '^src/wal/',
      ['^src/wal/', '^src/raft/types[.]ts$', PURE_BASE, '^path$'],
      'The log stores entries; it does not know what they mean.',
    ),
    only(
      'storage-knows-no-revision-history',
      '^src/storage/',
      ['^src/storage/', '^src/gen/', PURE_BASE, 'node_modules/classic-level/', '^path$'],
      'The image holds rows; it does not know what they mean.',
    ),
    only(
      'mvcc-stands-alone',
      '^src/mvcc/',
      ['^src/(mvcc|storage|gen)/', PURE_BASE],
      'The store knows no consensus and no network.',
    ),
    only(
      'watch-stands-on-mvcc',
      '^src/watch/',
      ['^src/(watch|mvcc|gen)/', PURE_BASE],
      'Delivery of events knows the store and nobody else.',
    ),
    only(
      'lease-stands-on-mvcc',
      '^src/lease/',
      ['^src/(lease|mvcc|gen)/', PURE_BASE],
      'The lessor knows keys and nobody else.',
    ),
    never(
      'rpc-knows-no-store',
      { path: '^src/rpc/' },
      { path: '^src/(?!rpc/|base/)' },
      'A transport carries bytes for anybody.',
    ),
    only(
      'gen-imports-runtime',
      '^src/gen/',
      ['^src/gen/', '^src/base/protobuf/'],
      'Generated codecs need their runtime only.',
    ),
    never(
      'server-looks-down',
      { path: '^src/server/' },
      { path: '^src/(client|cluster|cli)/' },
      'A member knows no clients.',
    ),
    never(
      'server-folders-only',
      {},
      { path: '^src/server/(?!run[.]ts)[^/]+[.]ts$' },
      'Only run.ts lies beside the folders of the server.',
    ),
    never(
      'client-is-outside',
      { path: '^src/client/' },
      { path: '^src/(?!client/|base/|gen/|rpc/)' },
      'A client has the wire and nothing else.',
    ),
    never(
      'cluster-only-through-the-api',
      { path: '^src/cluster/' },
      { path: '^src/(?!cluster/|client/|base/|gen/|rpc/)' },
      'The control plane is a client.',
    ),
    never(
      'cli-starts-things',
      { path: '^src/cli/' },
      { path: '^src/(raft|wal|storage|mvcc|watch|lease|rpc)/', pathNot: '^src/rpc/service[.]ts$' },
      'The command line reaches the inside through server and client.',
    ),
    never(
      'only-level-engine-has-leveldb',
      { path: '^src/', pathNot: '^src/storage/level-engine[.]ts$' },
      { path: 'node_modules/classic-level/' },
      'One file to replace.',
    ),
    never(
      'client-serves-the-outside',
      { path: '^src/', pathNot: '^src/(client|cluster|cli)/' },
      { path: '^src/client/' },
      'Command line, control plane, harness, bench and tests are clients; a member is none.',
    ),
    never(
      'harness-is-black-box',
      { path: '^(jepsen-like|bench)/', pathNot: '^bench/micro/' },
      {
        path: '^src/',
        pathNot: '^src/(gen|client|cluster/client|cluster/api)/|^src/cluster/system-env[.]ts$',
      },
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
