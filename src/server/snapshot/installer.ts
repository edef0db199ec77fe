import type { Done, Env } from '../../base/env/env.js';
import type { Lessor } from '../../lease/lessor.js';
import type { Store } from '../../mvcc/store.js';
import { Backend } from '../../storage/backend.js';
import type { Engine } from '../../storage/engine.js';
import type { BackendObserver } from '../../storage/observer.js';
import type { WatchHub } from '../../watch/hub.js';
import type { StateMachine } from '../apply/state-machine.js';
import { loadLeases, loadReplicatedLists } from './load.js';

export interface ImageInstallerParts {
  readonly env: Env;
  readonly store: Store;
  readonly lessor: Lessor;
  readonly hub: WatchHub;
  readonly machine: StateMachine;
  readonly reads: { close(): void; open(): void };
  readonly observer: BackendObserver | undefined;
  /** The member list changed. */
  readonly onMembersChanged: () => void;
}

/**
 * Replaces the state by a received image: the store takes the new backend, and everything derived from it is loaded
 * anew. Reads and watchers wait meanwhile. The store is the one owner of the backend in use.
 */
export class ImageInstaller {
  private readonly p: ImageInstallerParts;

  constructor(parts: ImageInstallerParts) {
    this.p = parts;
  }

  /** `done` gets an error when the image is not that of `index`, or cannot be read; the member must not go on then. */
  install(engine: Engine, index: number, done: Done): void {
    const { env, store, lessor, hub, reads, observer } = this.p;
    reads.close();
    hub.suspend();
    const old = store.backend;
    const backend = new Backend({ engine, env, observer });
    if (backend.appliedIndex !== index) {
      return done(new Error(`its directory holds the state of log index ${backend.appliedIndex}`));
    }
    lessor.clear();
    loadLeases(backend, lessor, (error) => {
      if (error !== null) done(error);
      else this.restoreStore(backend, old, done);
    });
  }

  private restoreStore(backend: Backend, old: Backend, done: Done): void {
    const { store, machine } = this.p;
    store.restore(backend, (error) => {
      if (error !== null) return done(error);
      loadReplicatedLists(machine, backend, (listError) => {
        if (listError !== null) return done(listError);
        this.goOn();
        old.close(() => done(null));
      });
    });
  }

  private goOn(): void {
    this.p.hub.restore();
    this.p.onMembersChanged();
    this.p.reads.open();
  }
}
