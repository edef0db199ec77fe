import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { StartupError, dataDirFailure } from '../../base/flags/startup-error.js';

export interface ClusterDir {
  readonly path: string;
  readonly isTemporary: boolean;
}

const PLAN_FILE = 'cluster.json';

/** Creates the directory that was asked for, or a temporary one. */
export function openClusterDir(dir: string | undefined): ClusterDir {
  if (dir === undefined) {
    return { path: mkdtempSync(join(tmpdir(), 'mainstay-up-')), isTemporary: true };
  }
  const path = resolve(dir);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw dataDirFailure(path, error);
  }
  return { path, isTemporary: false };
}

/**
 * The plan in the directory, checked by `parse`, which returns undefined for what it does not know.
 * Undefined when there is no plan. Throws: StartupError.
 */
export function readPlan<T>(dir: string, parse: (value: unknown) => T | undefined): T | undefined {
  const path = join(dir, PLAN_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw dataDirFailure(dir, error);
  }
  const plan = parse(parsedJson(text));
  if (plan === undefined) {
    throw new StartupError(
      `${path} does not describe a cluster`,
      'use another --dir, or restore that file',
    );
  }
  return plan;
}

/** Stores the plan on disk, whole or not at all, before anything it names is made. */
export function writePlan(dir: string, plan: object): void {
  const path = join(dir, PLAN_FILE);
  try {
    const file = openSync(`${path}.new`, 'w', 0o600);
    try {
      writeSync(file, `${JSON.stringify(plan, null, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${path}.new`, path);
  } catch (error) {
    throw dataDirFailure(dir, error);
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The caller has the file's name for the message.
    return undefined;
  }
}
