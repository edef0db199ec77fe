/** Transcripts of the real kubectl on a real control plane (test/golden/kubectl), and a run of one. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Result {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Transcript extends Result {
  readonly command: string;
  readonly stdin?: string;
}

/** In the order in which they were recorded; each goes on with the objects of those before. */
export const GROUPS = [
  'basics',
  'create',
  'get',
  'describe',
  'apply',
  'change',
  'rollout',
  'nodes',
  'wait',
  'logs-exec',
  'auth',
  'certificates',
  'crd',
  'delete',
] as const;

export type Group = (typeof GROUPS)[number];

export function transcriptsOf(group: Group): readonly Transcript[] {
  const text = readFileSync(`test/golden/kubectl/${group}.json`, 'utf8');
  return (JSON.parse(text) as { transcripts: Transcript[] }).transcripts;
}

/**
 * The arguments of a recorded command line. Quotes hold words together; JSON was written down
 * without quotes around it.
 */
function argumentsOf(command: string): string[] {
  const words = command.match(/[[{]\S*|(?:[^\s'"]|'[^']*'|"[^"]*")+/g) ?? [];
  return words.slice(1).map((word) => {
    if (/^[[{]/.test(word)) return word;
    return word.replace(/'([^']*)'|"([^"]*)"/g, (_, single?: string, double?: string) => {
      return single ?? double ?? '';
    });
  });
}

const READING =
  /^kubectl (?:get|describe|events|version|cluster-info|api-\w+|config|auth can-i|auth whoami|options|diff) /;

/** True for commands that change nothing: they may run beside each other, and again. */
export function isReading({ command }: Transcript): boolean {
  return READING.test(`${command} `);
}

/** Longest time for one command on a quiet machine; each should take a fraction of a second. */
const LIMIT_MS = 60_000;

/** Runs a command to its end. Rejects when the program cannot be run, or does not end. */
export function run(
  program: string,
  { command, stdin = '' }: Transcript,
  env: NodeJS.ProcessEnv,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, argumentsOf(command), { env, timeout: LIMIT_MS });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part));
    child.stderr.setEncoding('utf8').on('data', (part: string) => (stderr += part));
    // A command that does not read it may end before it was written.
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
    child.once('error', reject);
    child.once('close', (exit, signal) => {
      if (exit === null) reject(new Error(`${command} was ended by ${signal}`));
      else resolve({ exit, stdout, stderr });
    });
  });
}
