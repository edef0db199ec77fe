import { existsSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { StartupError } from '../../base/flags/startup-error.js';
import { exitCodeOf } from '../outcome.js';
import { isRunning } from './cluster-lock.js';
import { storedPlan } from './cluster-plan.js';
import { forgetCluster } from './current-cluster.js';
import { removeRemains } from './teardown.js';
import { say } from './terminal.js';

/**
 * `mainstay down`: removes what a killed `mainstay up` has left. Data stays in a directory that the
 * user has named; a temporary one is removed. Returns the exit code.
 */
export function runDownCommand(options: { readonly dir: string }): Promise<number> {
  return exitCodeOf(async () => {
    const dir = resolve(options.dir);
    const plan = existsSync(dir) ? storedPlan(dir) : undefined;
    if (plan === undefined) {
      throw new StartupError(`${dir} holds no cluster`, 'give the --dir that mainstay up had');
    }
    if (await isRunning(dir)) {
      throw new StartupError(
        `the cluster in ${dir} runs`,
        'stop it with Ctrl-C where mainstay up runs',
      );
    }
    await removeRemains(plan, dir);
    forgetCluster(dir);
    if (plan.isTemporary) rmSync(dir, { recursive: true, force: true });
    say(
      plan.isTemporary ? `Removed the cluster and ${dir}.` : `Removed all but the data in ${dir}.`,
    );
    return 0;
  }, 'cannot remove the cluster');
}
