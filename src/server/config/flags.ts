import type { FlagSpec } from '../../base/flags/spec.js';
import { IGNORED_FLAGS } from './flags-ignored.js';
import { REFUSED_FLAGS } from './flags-refused.js';
import { SERVED_FLAGS } from './flags-served.js';

/**
 * The one table of server flags. It drives the command line, the ETCD_* variables, the config file, `--help`
 * and the reference table in the documentation; a flag exists nowhere else.
 *
 * Names, defaults and meanings are etcd's, so that its users' scripts and manifests work unchanged. A flag
 * this release cannot honour is either `ignored` (leaving it out changes no promise; a warning says so) or
 * `refused` (running without it would be a different, often less safe, server).
 *
 * Order: that of `--help` within a group.
 */
export const FLAGS: readonly FlagSpec[] = [...SERVED_FLAGS, ...REFUSED_FLAGS, ...IGNORED_FLAGS];

/** What a flag name on a command line, in a variable or in a file stands for. */
export interface FlagMatch {
  readonly spec: FlagSpec;
  /** True when the name is an older one. */
  readonly isAlias: boolean;
}

const byName = new Map<string, FlagMatch>();
for (const spec of FLAGS) {
  byName.set(spec.name, { spec, isAlias: false });
  for (const alias of spec.aliases ?? []) byName.set(alias, { spec, isAlias: true });
}

/** Finds a flag by its name or an older name. */
export function findFlag(name: string): FlagMatch | undefined {
  return byName.get(name);
}

/** Every accepted name, older ones included. */
export function flagNames(): IterableIterator<string> {
  return byName.keys();
}

/** The variable that sets the flag `name`. */
export function envName(name: string): string {
  return `ETCD_${name.toUpperCase().replaceAll('-', '_')}`;
}
