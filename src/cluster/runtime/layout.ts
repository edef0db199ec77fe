import { join } from 'node:path';

/**
 * Paths of the engine's files. `rootDir` outlives the machine's restart; `stateDir` is for state
 * that ends with it: namespaces and runc's own records.
 */
export class Layout {
  private readonly rootDir: string;
  private readonly stateDir: string;

  constructor(rootDir: string, stateDir: string) {
    this.rootDir = rootDir;
    this.stateDir = stateDir;
  }

  images(): string {
    return join(this.rootDir, 'images');
  }

  /** Addresses in use, a file each. */
  addresses(): string {
    return join(this.rootDir, 'addresses');
  }

  /** Exit codes, a file for each ended container. */
  exits(): string {
    return join(this.rootDir, 'exits');
  }

  exit(containerId: string): string {
    return join(this.exits(), containerId);
  }

  sandboxes(): string {
    return join(this.rootDir, 'sandboxes');
  }

  sandbox(id: string): string {
    return join(this.sandboxes(), id);
  }

  containers(): string {
    return join(this.rootDir, 'containers');
  }

  container(id: string): string {
    return join(this.containers(), id);
  }

  rootfs(containerId: string): string {
    return join(this.container(containerId), 'rootfs');
  }

  runc(): string {
    return join(this.stateDir, 'runc');
  }

  namespaces(): string {
    return join(this.stateDir, 'namespaces');
  }

  /** Files `net`, `ipc`, `uts`, `pid`, and the directory `shm`. */
  namespacesOf(sandboxId: string): string {
    return join(this.namespaces(), sandboxId);
  }
}
