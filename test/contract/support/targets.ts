/**
 * The servers whose answers are asserted: mainstay on either transport and a real etcd, one member each, started once for all files of this
 * folder. Assertions that hold for all are the contract; exceptions for an older installed etcd are
 * marked in the test.
 */
import { ClientError, EtcdClient } from '../../../src/client/client.js';
import {
  etcdProgram,
  skipWithout,
  startCluster,
  versionOf,
  type ServerKind,
  type TestCluster,
  type TestServer,
} from '../../support/servers.js';

export class Target {
  readonly label: string;
  readonly kind: ServerKind;
  /** N of the release 3.N it behaves like. */
  readonly minor: number;
  private cluster: TestCluster | undefined;
  private openClient: EtcdClient | undefined;

  private readonly flags: Readonly<Record<string, string>>;

  constructor(
    label: string,
    kind: ServerKind,
    minor: number,
    flags: Readonly<Record<string, string>>,
  ) {
    this.label = label;
    this.kind = kind;
    this.minor = minor;
    this.flags = flags;
  }

  get client(): EtcdClient {
    if (this.openClient === undefined) throw new Error(`${this.label} was not started`);
    return this.openClient;
  }

  /** The one member. */
  get member(): TestServer {
    if (this.cluster === undefined) throw new Error(`${this.label} was not started`);
    return this.cluster.member(0);
  }

  /** True for mainstay and for an etcd of release 3.`minor` or later. */
  isSince(minor: number): boolean {
    return this.minor >= minor;
  }

  async start(): Promise<void> {
    if (this.openClient !== undefined) return;
    this.cluster = await startCluster({
      kind: this.kind,
      size: 1,
      flags: this.flags,
      metrics: true,
    });
    this.openClient = new EtcdClient(this.cluster.member(0).endpoint);
  }

  async stop(): Promise<void> {
    this.openClient?.close();
    await this.cluster?.stop();
  }
}

const etcd = versionOf(etcdProgram(), '--version');

/** The release mainstay behaves like. */
const OUR_MINOR = 6;

/** Interval of progress notices; 3.4 has no flag for it. */
const PROGRESS = { 'experimental-watch-progress-notify-interval': '300ms' };

/** Both transports of mainstay serve the same contract. */
const targets = [
  new Target('mainstay', 'mainstay', OUR_MINOR, PROGRESS),
  new Target('mainstay on grpc-js', 'mainstay', OUR_MINOR, {
    ...PROGRESS,
    'rpc-transport': 'grpc-js',
  }),
  new Target('etcd', 'etcd', etcd?.minor ?? 0, etcd !== null && etcd.minor > 4 ? PROGRESS : {}),
];

after(async () => {
  await Promise.all(targets.map((target) => target.stop()));
});

/** A suite whose tests hold for mainstay and for etcd. */
export function describeForAll(title: string, define: (target: Target) => void): void {
  for (const target of targets) {
    describe(`${title} (${target.label})`, () => {
      before(async function () {
        if (target.kind === 'etcd' && etcd === null) skipWithout(this, 'etcd to compare with');
        await target.start();
      });
      define(target);
    });
  }
}

/** Refusal of a call, as `code text`; throws if it was not refused. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ClientError) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error('the call succeeded');
}

export function bytes(latin1: string): Uint8Array {
  return Buffer.from(latin1, 'latin1');
}

export function text(value: Uint8Array | undefined): string {
  return Buffer.from(value ?? new Uint8Array(0)).toString('latin1');
}

/** The end of the interval of keys that begin with `prefix`. */
export function prefixEnd(prefix: string): Uint8Array {
  const last = prefix.charCodeAt(prefix.length - 1);
  return bytes(prefix.slice(0, -1) + String.fromCharCode(last + 1));
}

let nextNumber = 0;

/** A key prefix no other test uses. */
export function freshPrefix(): string {
  return `t${String(nextNumber++).padStart(6, '0')}/`;
}
