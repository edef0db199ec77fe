import type { Done } from '../../base/env/env.js';
import type { Lessor } from '../../lease/lessor.js';
import { Bucket, type Backend } from '../../storage/backend.js';
import type { StateMachine } from '../apply/state-machine.js';

/** Loads what is derived from an image beside the store: leases, alarms, members, the cluster's version. */

export function loadLeases(backend: Backend, lessor: Lessor, done: Done): void {
  loadBucket(backend, Bucket.lease, (_key, value) => lessor.loadRow(value), done);
}

export function loadReplicatedLists(machine: StateMachine, backend: Backend, done: Done): void {
  const { alarms, members } = machine;
  alarms.clear();
  members.clear();
  machine.loadClusterVersion();
  loadBucket(
    backend,
    Bucket.alarm,
    (key) => alarms.load(key),
    (alarmError) => {
      if (alarmError === null) loadMembers();
      else done(alarmError);
    },
  );

  function loadMembers(): void {
    loadBucket(
      backend,
      Bucket.members,
      (_key, value) => members.load(value),
      (error) => {
        if (error === null) loadRemoved();
        else done(error);
      },
    );
  }

  function loadRemoved(): void {
    loadBucket(backend, Bucket.membersRemoved, (key) => members.loadRemoved(key), done);
  }
}

/** Hands every row of a bucket to `load`. */
function loadBucket(
  backend: Backend,
  bucket: Bucket,
  load: (key: Uint8Array, value: Uint8Array) => void,
  done: Done,
): void {
  backend.forEach(
    bucket,
    (key, value) => {
      load(key, value);
      return true;
    },
    done,
  );
}
