import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import type { WatchHub } from '../../watch/hub.js';
import type { StateMachine } from '../apply/state-machine.js';
import { ImageInstaller } from './installer.js';
import { SnapshotKeeper, type SnapshotKeeperParts } from './keeper.js';

type KeeperParts = Omit<SnapshotKeeperParts, 'backend' | 'install'>;

export interface SnapshotsParts extends KeeperParts {
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly machine: StateMachine;
  readonly reads: { close(): void; open(): void };
  /** The member list changed. */
  readonly onMembersChanged: () => void;
}

/** The keeper of a member's images, with an installer for those it receives. */
export function createSnapshots(parts: SnapshotsParts): SnapshotKeeper {
  const installer = new ImageInstaller(parts);
  return new SnapshotKeeper({
    ...parts,
    backend: () => parts.store.backend,
    install: (engine, index, done) => installer.install(engine, index, done),
  });
}
