import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { StartupError } from '../../base/flags/startup-error.js';
import { Fabric } from '../../cluster/fabric/fabric.js';
import { fabricPlan, machineDir } from './cluster-config.js';
import type { ClusterPlan } from './cluster-plan.js';
import { programArgs, withoutEtcdVariables } from './program-command.js';

/**
 * Removes what is left of a cluster whose processes have ended: containers, mounts, control groups,
 * network namespaces with their links and packet rules. Data in the directory stays.
 *
 * Rejects with StartupError after all that could be removed is.
 */
export async function removeRemains(plan: ClusterPlan, dir: string): Promise<void> {
  const fabric = new Fabric(fabricPlan(plan));
  const names = plan.nodes.map(({ name }) => name);
  const failures = await Promise.all(
    names.map((name) => removeNode(dir, name, fabric.nodeCommand(name))),
  );
  if (plan.network === 'namespaces') await fabric.remove();
  const texts = failures.filter((text) => text !== undefined);
  if (texts.length > 0) {
    throw new StartupError(
      `not everything of the cluster was removed: ${texts.join('; ')}`,
      `run: mainstay down --dir ${dir}`,
    );
  }
  rmSync(machineDir(plan), { recursive: true, force: true });
}

/** Has a process in the node's network remove the node's containers. Resolves with what it says when it fails. */
function removeNode(
  dir: string,
  name: string,
  enter: readonly string[],
): Promise<string | undefined> {
  const node = [process.execPath, ...programArgs(), 'node', '--dir', dir, '--name', name];
  const [command = '', ...args] = [...enter, ...node, '--remove'];
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    // Ctrl-C in a terminal must not end it half-way.
    detached: true,
    env: withoutEtcdVariables(process.env),
  });
  const words: Buffer[] = [];
  child.stderr.on('data', (part: Buffer) => words.push(part));
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`${name}: ${error.message}`));
    child.once('close', (code) => {
      resolve(code === 0 ? undefined : `${name}: ${Buffer.concat(words).toString().trim()}`);
    });
  });
}
