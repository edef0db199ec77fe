import { existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { silentLogger } from '../../../src/base/observe/logger.js';
import { mustRun } from '../../../src/cluster/runtime/command.js';
import { unmountBelow } from '../../../src/cluster/runtime/mounts.js';
import { openRuntime } from '../../../src/cluster/runtime/open-runtime.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import type { ClosableRuntime } from './pod-suite.js';

export const POD_CIDR = '10.251.7.0/24';
let count = 0;

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
  /** The node's network: nothing of the machine's own is touched. */
  readonly networkNamespace = `/run/netns/mainstay-test-${process.pid}-${++count}`;

  /** Made when first wanted: a skipped suite leaves nothing behind. */
  get dir(): string {
    this.dirNow ??= mkdtempSync(join(tmpdir(), 'mainstay-engine-'));
    return this.dirNow;
  }

  async open(): Promise<ClosableRuntime> {
    if (!existsSync(this.networkNamespace)) {
      await mustRun('ip', ['netns', 'add', basename(this.networkNamespace)]);
      await mustRun('nsenter', [`--net=${this.networkNamespace}`, 'ip', 'link', 'set', 'lo', 'up']);
    }
    return openRuntime({
      kind: 'engine',
      ...directoriesIn(this.dir),
      podCidr: POD_CIDR,
      networkNamespace: this.networkNamespace,
      env: systemClusterEnv(),
      log: silentLogger,
    });
  }

  /** Removes every pod, and then what is left after a failure. */
  async cleanUp(): Promise<void> {
    const runtime = await this.open();
    for (const { id } of await runtime.listPodSandboxes()) await runtime.removePodSandbox(id);
    runtime.close();
    await mustRun('ip', ['netns', 'delete', basename(this.networkNamespace)]);
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
