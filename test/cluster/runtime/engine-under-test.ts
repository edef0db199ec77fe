import { mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { unmountBelow } from '../../../src/cluster/runtime/mounts.js';
import { openRuntime } from '../../../src/cluster/runtime/open-runtime.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import type { ClosableRuntime } from './pod-suite.js';

/** Long ones: addresses of sockets must not depend on them. */
export function directoriesIn(dir: string): { rootDir: string; stateDir: string } {
  const long = join(dir, 'a-directory-whose-name-is-longer-than-the-address-of-a-socket-may-be');
  return { rootDir: join(long, 'root'), stateDir: join(long, 'state') };
}

/** The engine on directories of its own, and what it leaves on the machine. */
export class EngineUnderTest {
  private dirNow: string | undefined;
  /** Group of the machine below which all of its pods are. */
  readonly cgroup = `/mainstay-test-${process.pid}`;

  /** Made when first wanted: a skipped suite leaves nothing behind. */
  get dir(): string {
    this.dirNow ??= mkdtempSync(join(tmpdir(), 'mainstay-engine-'));
    return this.dirNow;
  }

  open(): Promise<ClosableRuntime> {
    return openRuntime({
      kind: 'engine',
      ...directoriesIn(this.dir),
      podCidr: '10.251.7.0/24',
      env: systemClusterEnv(),
      log: silentLogger,
    });
  }

  /** Removes every pod, and then what is left after a failure. */
  async cleanUp(): Promise<void> {
    const runtime = await this.open();
    for (const { id } of await runtime.listPodSandboxes()) await runtime.removePodSandbox(id);
    runtime.close();
    await unmountBelow(this.dir);
    rmSync(this.dir, { recursive: true, force: true });
    const trees = readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name));
    for (const tree of ['/sys/fs/cgroup', ...trees]) {
      try {
        rmdirSync(join(tree, this.cgroup));
      } catch {
        // Not in this tree.
      }
    }
  }
}
