import { request } from 'node:http';
import { resolve } from 'node:path';
import { StartupError } from '../base/flags/startup-error.js';
import { exitCodeOf } from './outcome.js';
import { nodeConfig } from './up/cluster-config.js';
import { requiredPlan } from './up/cluster-plan.js';
import { runningCluster } from './up/current-cluster.js';
import { say } from './up/terminal.js';

export interface ImageFlags {
  readonly dir?: string;
  /** All nodes when left out. */
  readonly node?: string;
}

/** `mainstay image load FILE`: puts an image from a file on nodes of a running cluster. Returns the exit code. */
export function runImageLoad(file: string, flags: ImageFlags): Promise<number> {
  return exitCodeOf(async () => {
    const dir = await runningCluster(flags.dir);
    const plan = requiredPlan(dir);
    const names = flags.node === undefined ? plan.nodes.map(({ name }) => name) : [flags.node];
    const nodes = names.map((name) => nodeConfig(plan, dir, name));
    const images = await Promise.all(
      nodes.map(({ name, controlSocket }) => load(name, controlSocket, resolve(file))),
    );
    nodes.forEach(({ name }, i) => say(`${name}: ${images[i]?.join(', ') ?? ''}`));
    return 0;
  }, 'cannot load the image');
}

function load(node: string, socketPath: string, path: string): Promise<string[]> {
  const refusal = (why: string): StartupError =>
    new StartupError(
      `${node}: ${why}`,
      'give an OCI layout (directory or archive), or what docker save writes',
    );
  return new Promise((done, reject) => {
    const asked = request({ socketPath, path: '/images', method: 'POST' }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', (error) => reject(refusal(error.message)));
      response.on('end', () => {
        const answer = JSON.parse(Buffer.concat(parts).toString()) as {
          readonly images?: string[];
          readonly error?: string;
        };
        if (answer.images === undefined) reject(refusal(answer.error ?? 'no answer'));
        else done(answer.images);
      });
    });
    asked.on('error', (error) => reject(refusal(error.message)));
    asked.end(JSON.stringify({ path }));
  });
}
