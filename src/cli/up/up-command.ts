/** `mainstay up`: a cluster on this machine, or its store alone, until SIGINT or SIGTERM. */
import { StartupError } from '../../base/flags/startup-error.js';
import { exitCodeOf } from '../outcome.js';
import type { PublishedPort } from './local-cluster.js';
import { runStoreOnly } from './store-only.js';

export interface UpOptions {
  readonly nodes?: number;
  readonly storeMembers?: number;
  readonly storeOnly: boolean;
  readonly dir?: string;
  readonly clientPort?: number;
  readonly apiPort?: number;
  readonly publish: readonly PublishedPort[];
  readonly keep: boolean;
  readonly keepContainers: boolean;
}

/** Returns the exit code. */
export function runUpCommand(options: UpOptions): Promise<number> {
  return exitCodeOf(async () => {
    const { nodes, storeMembers, dir, clientPort, apiPort } = options;
    if (options.storeOnly) {
      refuseClusterFlags(options);
      await runStoreOnly({ storeMembers, dir, clientPort, keep: options.keep });
      return 0;
    }
    // The store alone starts without loading the rest.
    const { runLocalCluster } = await import('./local-cluster.js');
    await runLocalCluster({ ...options, nodes, storeMembers, dir, clientPort, apiPort });
    return 0;
  });
}

function refuseClusterFlags({ nodes, apiPort, publish, keepContainers }: UpOptions): void {
  const given = [
    ...(nodes === undefined ? [] : ['--nodes']),
    ...(apiPort === undefined ? [] : ['--api-port']),
    ...(publish.length === 0 ? [] : ['--publish']),
    ...(keepContainers ? ['--keep-containers'] : []),
  ];
  if (given.length === 0) return;
  throw new StartupError(
    `${given.join(', ')} cannot be combined with --store-only, which starts no nodes`,
    given[0] === '--nodes' ? 'use --store-members for the number of members' : 'leave it out',
  );
}
