/**
 * The servers whose answers are asserted: one member of mainstay and one real etcd, started once for all files of this
 * folder. What holds for both is the contract; where the installed etcd is of an older release, the test says so.
 */
import { ClientError, EtcdClient } from '../../../src/client/client.js';
import {
  etcdProgram,
  skipWithout,
  startCluster,
  versionOf,
  type ServerKind,
  type TestCluster,
} from '../../support/servers.js';

export class Target {
  readonly kind: ServerKind;
  /** N of the release 3.N it behaves like. */
  readonly minor: number;
  private cluster: TestCluster | undefined;
  private openClient: EtcdClient | undefined;

  constructor(kind: ServerKind, minor: number) {
    this.kind = kind;
    this.minor = minor;
  }

  get client(): EtcdClient {
    if (this.openClient === undefined) throw new Error(`${this.kind} was not started`);
    return this.openClient;
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
      flags: PROGRESS_FLAGS[this.kind],
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

/** Watchers that ask for it hear of progress this often. */
const PROGRESS_FLAGS: Readonly<Record<ServerKind, Readonly<Record<string, string>>>> = {
  mainstay: { 'experimental-watch-progress-notify-interval': '300ms' },
  etcd:
    etcd !== null && etcd.minor > 4
      ? { 'experimental-watch-progress-notify-interval': '300ms' }
      : {},
};

const targets = [new Target('mainstay', OUR_MINOR), new Target('etcd', etcd?.minor ?? 0)] as const;

after(async () => {
  await Promise.all(targets.map((target) => target.stop()));
});

/** Both servers, for tests that compare their answers. */
export async function bothTargets(context: Mocha.Context): Promise<readonly [Target, Target]> {
  if (etcd === null) skipWithout(context, 'etcd to compare with');
  await Promise.all(targets.map((target) => target.start()));
  return targets;
}

/** A suite whose tests hold for mainstay and for etcd. */
export function describeForBoth(title: string, define: (target: Target) => void): void {
  for (const target of targets) {
    describe(`${title} (${target.kind})`, () => {
      before(async function () {
        if (target.kind === 'etcd' && etcd === null) skipWithout(this, 'etcd to compare with');
        await target.start();
      });
      define(target);
    });
  }
}

/** How a call was refused, as `code text`; throws if it was not. */
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
