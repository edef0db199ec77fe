/**
 * Scripts of etcdctl commands, and their transcripts. A script runs against any server; two servers behave alike when
 * the transcripts are the same text.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { EtcdClient } from '../../src/client/client.js';
import {
  decodeLeaseLeasesResponse,
  encodeLeaseLeasesRequest,
  encodeLeaseRevokeRequest,
} from '../../src/gen/rpc.js';
import { CLIENT_ENV, etcdctlProgram, until, type TestCluster } from '../support/servers.js';
import { maskProtobuf, maskText, type MaskContext } from './mask.js';

/**
 * Command lines are etcdctl's without the endpoint, quoted like in a shell. `{r+N}` stands for the revision N after the
 * case's start, `{eps}` for all endpoints, `{ep}` for one of them, and `{NAME}` for what an earlier step captured.
 */
export interface Run {
  readonly run: string;
  readonly stdin?: string;
  /** Name to a pattern whose first group is kept from standard output. */
  readonly capture?: Readonly<Record<string, RegExp>>;
  /** With `-w protobuf`: the method whose response the output is. */
  readonly protobuf?: string;
  /** Text to compare in place of standard output. */
  readonly show?: (stdout: string) => string;
  /** Members answer in an order of their own: lines are compared as a set. */
  readonly anyOrder?: true;
}
/** Repeats the command until its standard output matches; only that attempt is in the transcript. */
export interface Poll {
  readonly poll: string;
  readonly until: RegExp;
  /** Leaves the output out of the transcript, where it depends on time. */
  readonly quiet?: boolean;
}
/** Starts a command that stays; the steps below refer to it by name. */
export interface Start {
  readonly start: string;
  readonly as: string;
}
export interface Type {
  readonly type: string;
  readonly to: string;
}
export interface Sees {
  readonly sees: string;
  /** Text standard output must contain, this many times (once). */
  readonly text: string;
  readonly times?: number;
}
/** Ends a started command with a signal, or waits until it ends by itself, and takes its output. */
export interface Finish {
  readonly finish: string;
  readonly signal?: 'SIGINT' | 'SIGKILL';
  readonly show?: (stdout: string) => string;
}
export type Step = string | Run | Poll | Start | Type | Sees | Finish;

export interface Case {
  /** Rows of the contract's list of compatibility tests that this covers. */
  readonly rows?: string;
  readonly name: string;
  readonly steps: readonly Step[];
  /** Reason for which a real cluster of three cannot run it. */
  readonly oneMemberOnly?: string;
  /** Transcript of mainstay where it answers otherwise than etcd on purpose, and the reason. */
  readonly differs?: Difference;
}

export interface Difference {
  /** Only from releases 3.N below this; any etcd when absent. */
  readonly below?: number;
  readonly reason: string;
  readonly transcript: readonly string[];
}

const STEP_TIMEOUT_MS = 20_000;

interface Output {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A started etcdctl; collects what it prints. */
class Command {
  stdout = Buffer.alloc(0);
  stderr = '';
  readonly ended: Promise<Output>;
  private readonly child: ChildProcessWithoutNullStreams;

  constructor(args: readonly string[], stdin?: string) {
    this.child = spawn(etcdctlProgram(), args, { env: CLIENT_ENV });
    this.child.stdout.on('data', (chunk: Buffer) => {
      this.stdout = Buffer.concat([this.stdout, chunk]);
    });
    this.child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    // A command may end without reading what it was given.
    this.child.stdin.on('error', () => undefined);
    if (stdin !== undefined) this.child.stdin.end(stdin);
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code) => {
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  type(text: string): void {
    this.child.stdin.write(text);
  }

  async end(signal?: NodeJS.Signals): Promise<Output> {
    if (signal !== undefined) this.child.kill(signal);
    const timer = setTimeout(() => this.child.kill('SIGKILL'), STEP_TIMEOUT_MS);
    try {
      return await this.ended;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Runs one case on one cluster, each command through another of its members. */
export async function transcriptOf(test: Case, cluster: TestCluster): Promise<string> {
  const script = new Script(cluster, await cleanStart(cluster));
  const lines: string[] = [];
  try {
    for (const step of test.steps) lines.push(await script.perform(step));
  } catch (error) {
    throw new Error(`${cluster.kind}: ${String(error)}\nso far:\n${lines.join('\n')}`, {
      cause: error,
    });
  } finally {
    await script.close();
  }
  return lines.filter((line) => line !== '').join('\n');
}

/** Removes all keys and leases, and returns the revision then. */
async function cleanStart(cluster: TestCluster): Promise<number> {
  const client = new EtcdClient(cluster.member(0).endpoint);
  try {
    const leases = decodeLeaseLeasesResponse(
      await client.unary('/etcdserverpb.Lease/LeaseLeases', encodeLeaseLeasesRequest({})),
    );
    for (const { ID } of leases.leases) {
      await client.unary('/etcdserverpb.Lease/LeaseRevoke', encodeLeaseRevokeRequest({ ID }));
    }
    const all = Uint8Array.of(0);
    const reply = await client.kv.deleteRange({ key: all, rangeEnd: all });
    return reply.header?.revision ?? 0;
  } finally {
    client.close();
  }
}

class Script {
  private readonly cluster: TestCluster;
  private readonly context: MaskContext;
  private readonly captured = new Map<string, string>();
  private readonly started = new Map<string, Command>();
  private turn = 0;

  constructor(cluster: TestCluster, base: number) {
    this.cluster = cluster;
    this.context = { cluster, base };
  }

  perform(step: Step): Promise<string> {
    if (typeof step === 'string') return this.run({ run: step });
    if ('run' in step) return this.run(step);
    if ('poll' in step) return this.poll(step);
    if ('sees' in step) return this.awaitText(step);
    if ('finish' in step) return this.finish(step);
    if ('start' in step) {
      this.started.set(step.as, new Command(this.args(step.start)));
      return Promise.resolve(`$ ${step.start} &`);
    }
    this.named(step.to).type(this.expand(step.type));
    return Promise.resolve(`> ${step.type.trimEnd()}`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.started.values()].map((command) => command.end('SIGKILL')));
  }

  private async run(step: Run): Promise<string> {
    const output = await new Command(this.args(step.run), step.stdin ?? '').end();
    for (const [name, pattern] of Object.entries(step.capture ?? {})) {
      const found = pattern.exec(output.stdout.toString())?.[1];
      if (found === undefined) throw new Error(`${step.run}: no ${name} in ${describe(output)}`);
      this.captured.set(name, found);
    }
    return this.entry(`$ ${step.run}`, output, this.shown(step, output), step.anyOrder);
  }

  private shown(step: Run, output: Output): string {
    if (step.protobuf !== undefined) {
      return maskProtobuf(output.stdout, step.protobuf, this.context);
    }
    const text = output.stdout.toString();
    return this.masked(step.show === undefined ? text : step.show(text));
  }

  private async poll(step: Poll): Promise<string> {
    const output = await until(`${step.poll} gives ${String(step.until)}`, async () => {
      const attempt = await new Command(this.args(step.poll), '').end();
      return step.until.test(attempt.stdout.toString()) ? attempt : null;
    });
    if (step.quiet === true) return '';
    return this.entry(`$ ${step.poll}`, output, this.masked(output.stdout.toString()));
  }

  private async awaitText(step: Sees): Promise<string> {
    const command = this.named(step.sees);
    const wanted = step.times ?? 1;
    await until(`${step.sees} shows ${step.text}`, () => {
      const text = this.masked(command.stdout.toString());
      return text.split(step.text).length > wanted ? true : null;
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; it shows ${command.stdout.toString()}${command.stderr}`);
    });
    return '';
  }

  private async finish(step: Finish): Promise<string> {
    const output = await this.named(step.finish).end(step.signal);
    this.started.delete(step.finish);
    const text = output.stdout.toString();
    const shown = this.masked(step.show === undefined ? text : step.show(text));
    return this.entry(`end of ${step.finish}`, output, shown);
  }

  private entry(title: string, output: Output, stdout: string, anyOrder = false): string {
    const order = anyOrder ? sortLines : (text: string): string => text;
    const shown = order(stdout);
    const stderr = order(this.masked(output.stderr).trimEnd());
    return [
      title,
      shown.replace(/\n$/, ''),
      ...(stderr === '' ? [] : [`! ${stderr}`]),
      `[${output.code}]`,
    ]
      .filter((line) => line !== '')
      .join('\n');
  }

  private named(name: string): Command {
    const command = this.started.get(name);
    if (command === undefined) throw new Error(`no command ${name} was started`);
    return command;
  }

  private args(line: string): string[] {
    const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
      ([, double, single, bare]) => double ?? single ?? bare ?? '',
    );
    const args = words.map((word) => this.expand(word));
    if (line.includes('--endpoints')) return args;
    return [`--endpoints=${this.cluster.member(this.turn++).endpoint}`, ...args];
  }

  private expand(text: string): string {
    return text.replace(/\{([^{} ]+)\}/g, (whole, name: string) => {
      if (name === 'eps') return this.cluster.endpoints.join(',');
      if (name === 'ep') return this.cluster.member(0).endpoint;
      const offset = /^r([+-]\d+)$/.exec(name);
      if (offset !== null) return String(this.context.base + Number(offset[1]));
      return this.captured.get(name) ?? whole;
    });
  }

  private masked(text: string): string {
    let masked = text;
    for (const [name, value] of this.captured) masked = masked.replaceAll(value, `<${name}>`);
    return maskText(masked, this.context);
  }
}

function sortLines(text: string): string {
  return text.trimEnd().split('\n').sort().join('\n');
}

function describe(output: Output): string {
  return `${output.stdout.toString()}${output.stderr}[${output.code}]`;
}
