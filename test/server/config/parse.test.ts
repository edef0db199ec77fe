import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseServerConfig } from '../../../src/server/config/parse.js';
import type { ServerConfig } from '../../../src/server/config/server-config.js';

type Env = Readonly<Record<string, string>>;

function run(argv: readonly string[], env: Env = {}): { config: ServerConfig; warnings: string } {
  const result = parseServerConfig(argv, env);
  if (result.kind === 'exit') throw new Error(`exit ${result.code}: ${result.stderr}`);
  return { config: result.config, warnings: result.warnings.join('\n') };
}

function refusal(argv: readonly string[], env: Env = {}): { code: number; stderr: string } {
  const result = parseServerConfig(argv, env);
  if (result.kind === 'run') throw new Error('was accepted');
  expect(result.stdout).equal('');
  return result;
}

describe('the server command line', () => {
  it("gives etcd's defaults when nothing is set", () => {
    const { config, warnings } = run([]);
    expect(config).deep.include({
      name: 'default',
      dataDir: 'default.etcd',
      walDir: undefined,
      advertisePeerUrls: ['http://localhost:2380'],
      advertiseClientUrls: ['http://localhost:2379'],
      heartbeatMs: 100,
      electionMs: 1000,
      preVote: true,
      snapshotCount: 10_000,
      quotaBytes: 2 * 1024 ** 3,
      maxTxnOps: 128,
      maxRequestBytes: 1_572_864,
      maxConcurrentStreams: 4_294_967_295,
      keepaliveMinTimeMs: 5000,
      keepaliveIntervalMs: 7_200_000,
      autoCompaction: { mode: 'off' },
      cluster: {
        state: 'new',
        token: 'etcd-cluster',
        members: [{ name: 'default', peerUrls: ['http://localhost:2380'] }],
      },
    });
    expect(config.listenClientUrls.map((url) => url.port)).deep.equal([2379]);
    expect(warnings).contain('--name');
  });

  it('takes one dash or two, a value apart or after =, and booleans alone', () => {
    const spellings = [
      ['--name', 'a', '--pre-vote=false', '--unsafe-no-fsync'],
      ['-name=a', '-pre-vote=0', '-unsafe-no-fsync=true'],
    ];
    for (const argv of spellings) {
      expect(run(argv).config).include({ name: 'a', preVote: false, unsafeNoFsync: true });
    }
  });

  it('lets the last of several values win', () => {
    expect(run(['--name=a', '--name=b']).config.name).equal('b');
  });

  it('names the data directory and the cluster after the member', () => {
    const { config } = run(['--name=n7']);
    expect(config.dataDir).equal('n7.etcd');
    expect(config.cluster.members).deep.equal([
      { name: 'n7', peerUrls: ['http://localhost:2380'] },
    ]);
  });

  it('joins several URLs of one name in the initial cluster', () => {
    const { config } = run(['--initial-cluster=a=http://h:2,b=http://h:3,a=http://h:1']);
    expect(config.cluster.members).deep.equal([
      { name: 'a', peerUrls: ['http://h:1', 'http://h:2'] },
      { name: 'b', peerUrls: ['http://h:3'] },
    ]);
  });

  it('accepts older names with a warning', () => {
    const { config, warnings } = run([
      '--name=a',
      '--experimental-watch-progress-notify-interval=5s',
      '--experimental-enable-lease-checkpoint',
    ]);
    expect(config.watchProgressIntervalMs).equal(5000);
    expect(config.featureGates.LeaseCheckpoint).equal(true);
    // Word for word as etcd 3.6.16 logs it.
    expect(warnings).contain(
      "--experimental-watch-progress-notify-interval is deprecated in v3.6 and will be decommissioned in v3.7. Use '--watch-progress-notify-interval' instead.",
    );
    expect(warnings).contain('--feature-gates=LeaseCheckpoint=true');
    expect(warnings).contain('Consider enabling feature gate LeaseCheckpointPersist');
  });

  it('does not call a name that was given the missing one', () => {
    expect(run(['--name=default']).warnings).equal('');
    expect(run([], { ETCD_NAME: 'default' }).warnings).equal('');
    expect(run([]).warnings).contain('--name is not set');
  });

  it('accepts flags without an effect here, with a warning', () => {
    expect(run(['--name=a', '--max-wals=3']).warnings).contain('--max-wals has no effect');
    expect(run(['--name=a', '--v', '--force=1']).warnings).contain('--force has no effect');
    expect(run(['--name=a', '--max-wals=5', '--enable-grpc-gateway=false']).warnings).equal('');
  });

  it('turns a quota of zero into the default and a negative one into none', () => {
    expect(run(['--quota-backend-bytes=-1']).config.quotaBytes).equal(Infinity);
    expect(run(['--quota-backend-bytes=100']).config.quotaBytes).equal(100);
    expect(run(['--quota-backend-bytes=9000000000']).warnings).contain('8 GiB');
  });

  it("prints etcd's version lines", () => {
    const result = parseServerConfig(['--version'], {});
    expect(result).include({ kind: 'exit', code: 0, stderr: '' });
    const lines = result.kind === 'exit' ? result.stdout.split('\n') : [];
    expect(lines[0]).match(/^etcd Version: 3\.\d+\.\d+$/);
    expect(lines[1]).match(/^Git SHA: /);
    expect(lines[2]).match(/^Go Version: /);
    expect(lines[3]).match(/^Go OS\/Arch: \w+\/\w+$/);
  });
});

describe('refusals of the server command line', () => {
  for (const [argv, text] of [
    [['--foo'], 'flag provided but not defined: -foo'],
    [['--name'], 'flag needs an argument: -name'],
    [['---name=a'], 'bad flag syntax: ---name=a'],
    [['--pre-vote=maybe'], 'invalid boolean value "maybe" for -pre-vote: parse error'],
    [['--heartbeat-interval', 'x'], 'invalid value "x" for flag -heartbeat-interval: parse error'],
    [['--grpc-keepalive-min-time=5'], 'invalid value "5" for flag -grpc-keepalive-min-time'],
    [['--v2-deprecation=not-yet'], 'invalid value "not-yet" for flag -v2-deprecation: invalid'],
    [['--v2-deprecation='], 'invalid value "" for flag -v2-deprecation'],
    [['--discovery-fallback=wait'], 'invalid value "wait" for flag -discovery-fallback'],
    [['--nmae=x'], 'flag provided but not defined: -nmae; did you mean "--name"?'],
    [['-initial-cluster-tokens=x'], 'did you mean "--initial-cluster-token"?'],
    [['--listen-client-urls=http://127.0.0.1:99999'], 'URL port must be from 0 to 65535: http'],
    [['--initial-cluster-state=foo'], 'invalid value "foo" for flag -initial-cluster-state'],
    [['--listen-client-urls=x'], 'invalid value "x" for flag -listen-client-urls'],
    [['--max-concurrent-streams=4294967296'], 'for flag -max-concurrent-streams: parse error'],
  ] as const) {
    it(`exits with 2 and the usage after ${argv.join(' ')}`, () => {
      const { code, stderr } = refusal(argv);
      expect(code).equal(2);
      expect(stderr).contain(text);
      expect(stderr).contain('Usage:');
    });
  }

  const client = '--listen-client-urls=http://127.0.0.1:1';
  for (const [argv, text] of [
    [['extra'], "'extra' is not a valid flag"],
    [['--name=a', '--', 'extra'], "'extra' is not a valid flag"],
    [
      ['--heartbeat-interval=900'],
      '--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[900ms]',
    ],
    [['--heartbeat-interval=0'], '--heartbeat-interval must be >0'],
    [['--election-timeout=0'], '--election-timeout must be >0'],
    [['--election-timeout=50001'], 'is too long'],
    [['--listen-peer-urls=http://foo:1'], 'expected IP in URL for binding (http://foo:1)'],
    [[client], '--advertise-client-urls is required when --listen-client-urls is set explicitly'],
    [['--auto-compaction-mode=foo'], 'unknown auto-compaction-mode "foo"'],
    [['--auto-compaction-retention=x'], 'invalid duration "x"'],
    [['--feature-gates=Foo=true'], 'unrecognized feature gate: Foo'],
    [
      ['--feature-gates=LeaseCheckpointPersist=true'],
      'requires enabling feature gate LeaseCheckpoint',
    ],
    [['--initial-cluster=a'], '--initial-cluster has no name'],
    [['--initial-cluster=a=http://h:1,b=http://h:1'], 'gives http://h:1 to a and to b'],
    [
      ['--experimental-compaction-batch-limit=5', '--compaction-batch-limit=5'],
      'cannot set --experimental-compaction-batch-limit and --compaction-batch-limit at the same time, please use --compaction-batch-limit only',
    ],
    [
      ['--compaction-batch-limit=5', '--experimental-compaction-batch-limit=7'],
      'cannot set --experimental-compaction-batch-limit and --compaction-batch-limit at the same time, please use --compaction-batch-limit only',
    ],
    [
      ['--experimental-enable-lease-checkpoint', '--feature-gates=LeaseCheckpoint=true'],
      'cannot specify both flags: --experimental-enable-lease-checkpoint=true and --feature-gates=LeaseCheckpoint=true at the same time, please just use --feature-gates=LeaseCheckpoint=true',
    ],
    [['--cert-file=x'], '--cert-file needs TLS'],
    [['--client-cert-auth'], '--client-cert-auth needs TLS'],
    [['--listen-peer-urls=https://127.0.0.1:1'], 'needs TLS'],
    [['--auth-token=jwt'], '--auth-token needs user authentication'],
    [['--discovery-srv=example.org'], '--discovery-srv needs cluster discovery'],
    [['--force-new-cluster'], '--force-new-cluster is not supported yet'],
    [['--snapshot-count=0'], '--snapshot-count must be at least 1'],
    [['--config-file=/nonexistent'], 'open /nonexistent: no such file or directory'],
  ] as const) {
    it(`exits with 1 and a next step after ${argv.join(' ')}`, () => {
      const { code, stderr } = refusal(argv);
      expect(code).equal(1);
      expect(stderr).contain(text);
      expect(stderr).match(/\n {2}next step: ./);
    });
  }

  it('refuses two spellings that come from variables', () => {
    const { code, stderr } = refusal([], {
      ETCD_MEMORY_MLOCK: 'true',
      ETCD_EXPERIMENTAL_MEMORY_MLOCK: 'true',
    });
    expect(code).equal(1);
    expect(stderr).contain('cannot set --experimental-memory-mlock and --memory-mlock');
  });

  it('makes no suggestion for a word that resembles no flag', () => {
    expect(refusal(['--frobnicate']).stderr).match(/^flag provided but not defined: -frobnicate\n/);
  });

  it('accepts the default of a flag it would refuse', () => {
    run(['--cert-file=', '--auth-token=simple', '--client-cert-auth=false', '--bcrypt-cost=10']);
  });
});

describe('ETCD_* variables', () => {
  it('set values without a flag', () => {
    const { config, warnings } = run([], { ETCD_NAME: 'e', ETCD_ELECTION_TIMEOUT: '2000' });
    expect(config).include({ name: 'e', electionMs: 2000 });
    expect(warnings).equal('');
  });

  it('are ignored when empty, and warned about when unknown', () => {
    const { config, warnings } = run([], { ETCD_NAME: '', ETCD_FOO: '1', ETCDCTL_API: '3' });
    expect(config.name).equal('default');
    expect(warnings).contain('unrecognized environment variable ETCD_FOO');
    expect(warnings).not.contain('ETCDCTL_API');
  });

  it('must not set a value that a flag sets too, under any of its names', () => {
    for (const argv of [['--watch-progress-notify-interval=5s']]) {
      for (const name of [
        'ETCD_WATCH_PROGRESS_NOTIFY_INTERVAL',
        'ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL',
      ]) {
        const { code, stderr } = refusal(argv, { [name]: '5s' });
        expect(code).equal(1);
        expect(stderr).contain(`environment variable ${name} is shadowed`);
      }
    }
  });

  it('are refused by name when they cannot be read', () => {
    const { code, stderr } = refusal([], { ETCD_HEARTBEAT_INTERVAL: 'x' });
    expect(code).equal(1);
    expect(stderr).contain('invalid value "x" for ETCD_HEARTBEAT_INTERVAL: parse error');
  });
});

/** The keys of the sample that etcd's repository has (etcd.conf.yml.sample), with values of the same kind. */
const SHIPPED_KEYS = `
name: default
data-dir:
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 0
listen-peer-urls: http://localhost:2380
listen-client-urls: http://localhost:2379
max-snapshots: 5
max-wals: 5
cors:
initial-advertise-peer-urls: http://localhost:2380
advertise-client-urls: http://localhost:2379
discovery:
discovery-fallback: proxy
discovery-proxy:
discovery-srv:
initial-cluster:
initial-cluster-token: etcd-cluster
initial-cluster-state: new
strict-reconfig-check: false
enable-pprof: true
proxy: "off"
proxy-failure-wait: 5000
proxy-refresh-interval: 30000
proxy-dial-timeout: 1000
proxy-write-timeout: 5000
proxy-read-timeout: 0
client-transport-security: { cert-file: , key-file: , client-cert-auth: false, trusted-ca-file: , auto-tls: false }
peer-transport-security: { cert-file: , key-file: , client-cert-auth: false, trusted-ca-file: , auto-tls: false }
self-signed-cert-validity: 1
log-level: debug
logger: zap
log-outputs: [stderr]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: "1"
cipher-suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]
tls-min-version: TLS1.2
tls-max-version: TLS1.3
`;

describe('a config file', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'config-test-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  const file = (text: string): string => {
    const path = join(dir, 'conf.yml');
    writeFileSync(path, text);
    return path;
  };

  it("replaces flags and variables, with etcd's types and sections", () => {
    const path = file(
      [
        'name: f',
        'election-timeout: 3000',
        'listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2',
        'advertise-client-urls: http://127.0.0.1:1',
        'grpc-keepalive-min-time: 7000000000',
        'pre-vote: false',
        'log-outputs: [stdout, m.log]',
        'auto-compaction-retention: 2',
        'feature-gates: LeaseCheckpoint=true',
        'client-transport-security:',
        '  cert-file:',
        '  client-cert-auth: false',
      ].join('\n'),
    );
    const { config, warnings } = run(['--name=flag', `--config-file=${path}`], {
      ETCD_NAME: 'env',
    });
    expect(config).deep.include({
      name: 'f',
      electionMs: 3000,
      keepaliveMinTimeMs: 7000,
      preVote: false,
      autoCompaction: { mode: 'periodic', retentionMs: 7_200_000 },
    });
    expect(config.listenClientUrls.map((url) => url.port)).deep.equal([1, 2]);
    expect(config.log.outputs).deep.equal(['stdout', 'm.log']);
    expect(config.featureGates.LeaseCheckpoint).equal(true);
    expect(warnings).contain('all flags but --config-file are ignored');
  });

  it('may be JSON, and named by a variable', () => {
    const path = file('{"name": "j", "heartbeat-interval": 50}');
    const { config } = run([], { ETCD_CONFIG_FILE: path });
    expect(config).include({ name: 'j', heartbeatMs: 50 });
  });

  it('may be empty', () => {
    expect(run([`--config-file=${file('')}`]).config.name).equal('default');
  });

  it('may have every key of a file that ships with etcd, the empty ones included', () => {
    const path = file(SHIPPED_KEYS);
    const { config, warnings } = run([`--config-file=${path}`]);
    expect(config).deep.include({
      name: 'default',
      dataDir: 'default.etcd',
      autoCompaction: { mode: 'periodic', retentionMs: 3_600_000 },
      log: { level: 'debug', format: 'auto', outputs: ['stderr'] },
    });
    expect(warnings).contain('key "proxy"');
    expect(warnings).contain('key "cipher-suites" of');
    expect(warnings).not.contain('--name is not set');
    run([`--config-file=${file('cipher-suites:\ntls-min-version:\ntls-max-version:')}`]);
    run([`--config-file=${file('client-transport-security:\npeer-transport-security:')}`]);
  });

  for (const [text, message] of [
    ['grpc-keepalive-min-time: 5s', 'whole number of nanoseconds'],
    ['nmae: x', 'key "nmae" of'],
    ['nmae: x', 'is unknown; did you mean "name"?'],
    ['nmae:', 'is unknown; did you mean "name"?'],
    ['client-transport-security:\n  certfile: x', 'mean "client-transport-security.cert-file"?'],
    ['client-transport-security: x', 'must hold further keys'],
    ['v2-deprecation: not-yet', 'invalid value "not-yet"'],
    ['memory-mlock: true\nexperimental-memory-mlock: true', 'at the same time'],
    ['pre-vote: "yes"', 'must be true or false'],
    ['election-timeout: abc', 'must be a whole number'],
    ['name: [a]', 'must be text'],
    ['name: {', 'neither YAML nor JSON'],
    ['just text', 'holds no settings'],
    ['initial-cluster-state: foo', 'must be one of new, existing'],
    ['peer-transport-security:\n  cert-file: x', 'needs TLS'],
  ] as const) {
    it(`is refused for ${JSON.stringify(text)}`, () => {
      const { code, stderr } = refusal([`--config-file=${file(text)}`]);
      expect(code).equal(1);
      expect(stderr).contain(message);
    });
  }
});
