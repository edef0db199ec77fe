import { fork, type ChildProcess } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from '../../raft/support/random.js';
import { startBinary } from './binary.js';
import type { CaseOrder, CaseOutcome, Outcome } from './child.js';
import type { Sample } from './sample.js';

/** Random damage to stopped members: one flipped bit, or one file cut short. */

export interface Damage {
  readonly file: string;
  readonly what: 'flip' | 'cut';
  /** The byte that is changed, or where the file ends now. */
  readonly offset: number;
  readonly bit: number;
}

export interface Case {
  readonly number: number;
  readonly sample: Sample;
  readonly member: number;
  readonly damage: Damage;
  readonly outcome: Outcome;
}

const MEMORY = '/dev/shm';
const CUTS_PERMILLE = 150;
/** Not verified: LevelDB's own notes. */
const UNREAD = /\/(LOG|LOG\.old|LOCK)$/;
/** A process is replaced after this many cases: members that stopped leave memory behind. */
const CASES_A_PROCESS = 150;

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .filter((file) => statSync(join(dir, file)).size > 0)
    .sort();
}

/** Half of the time every file is as likely, half of the time every byte. */
function drawDamage(dir: string, random: Random): Damage {
  const files = filesBelow(dir).filter((file) => !UNREAD.test(`/${file}`));
  const sizes = files.map((file) => contentBytes(join(dir, file)));
  let index = random.below(files.length);
  if (random.chance(500)) {
    let at = random.below(sizes.reduce((sum, size) => sum + size, 0));
    index = sizes.findIndex((size) => (at -= size) < 0);
  }
  const what = random.chance(CUTS_PERMILLE) ? 'cut' : 'flip';
  const offset = random.below(sizes[index] as number);
  return { file: files[index] as string, what, offset, bit: random.below(8) };
}

/** Bytes up to the zeros that a file is filled up with, and a sector of those. */
function contentBytes(path: string): number {
  const bytes = readFileSync(path);
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return Math.min(bytes.length, end + 512);
}

function inflict(dir: string, damage: Damage): void {
  const path = join(dir, damage.file);
  const bytes = readFileSync(path);
  if (damage.what === 'cut') return writeFileSync(path, bytes.subarray(0, damage.offset));
  bytes[damage.offset] = (bytes[damage.offset] as number) ^ (1 << damage.bit);
  writeFileSync(path, bytes);
}

export function describeDamage({ what, file, offset, bit }: Damage): string {
  return what === 'cut' ? `${file} cut at ${offset}` : `${file} byte ${offset} bit ${bit}`;
}

/** A directory for many small files: in memory where the system has such a place, because only content matters. */
export function makeWorkDir(parent = existsSync(MEMORY) ? MEMORY : tmpdir()): string {
  return mkdtempSync(join(parent, 'mainstay-damage-'));
}

/** The engine of a member that stopped may still write for a moment. */
export function removeTree(dir: string): void {
  rmSync(dir, { recursive: true, force: true, maxRetries: 20 });
}

/** Runs cases in a child process, and another one whenever that has ended. */
class Runner {
  private child: ChildProcess | undefined;
  private used = 0;

  async run(order: CaseOrder): Promise<Outcome> {
    if (this.used >= CASES_A_PROCESS) await this.close();
    this.used++;
    const child = (this.child ??= fork(fileURLToPath(new URL('child.ts', import.meta.url)), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    }));
    let written = '';
    const onText = (chunk: Buffer): void => void (written += chunk.toString());
    child.stderr?.on('data', onText);
    try {
      return await new Promise<Outcome>((resolve) => {
        const onMessage = (outcome: CaseOutcome): void => {
          child.removeListener('exit', onExit);
          resolve(outcome);
        };
        const onExit = (code: number | null, signal: string | null): void => {
          child.removeListener('message', onMessage);
          this.child = undefined;
          this.used = 0;
          resolve({ kind: 'aborted', text: `${signal ?? `exit status ${code}`}: ${written}` });
        };
        child.once('message', onMessage);
        child.once('exit', onExit);
        child.send(order);
      });
    } finally {
      child.stderr?.removeListener('data', onText);
    }
  }

  async close(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    this.used = 0;
    if (child === undefined) return;
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.disconnect();
      child.kill();
    });
  }
}

export interface RunOptions {
  readonly samples: readonly Sample[];
  readonly cases: number;
  readonly seed: number;
  readonly workDir: string;
  /** First case to run; those before are drawn and skipped. */
  readonly from?: number;
  /** Starts the program itself for each case. Requires: samples of one member. */
  readonly isBinary?: boolean;
  readonly onCase: (done: Case) => void;
}

/** Runs the cases that `seed` describes; case n is the same however many there are. */
export async function runCases(options: RunOptions): Promise<void> {
  const runner = new Runner();
  try {
    for (let number = options.from ?? 0; number < options.cases; number++) {
      const random = new Random((options.seed + number * 7919) >>> 0);
      const sample = options.samples[random.below(options.samples.length)] as Sample;
      const member = random.below(sample.dirs.length);
      const damage = drawDamage(sample.dirs[member] as string, random);
      const caseDir = `${options.workDir}/case-${number}`;
      const dirs = sample.dirs.map((dir, i) => {
        // A member that stopped keeps its files open, so no two cases share a directory.
        const copy = `${caseDir}/m${i + 1}`;
        cpSync(dir, copy, { recursive: true });
        return copy;
      });
      inflict(dirs[member] as string, damage);
      const { content, historyHash } = sample;
      const order = { id: number, dirs, damaged: member, content, historyHash };
      const outcome = await (options.isBinary === true ? startBinary(order) : runner.run(order));
      removeTree(caseDir);
      options.onCase({ number, sample, member, damage, outcome });
    }
  } finally {
    await runner.close();
  }
}
