import type { Pod, VolumeMount } from '../../../gen/kube-core-v1.js';
import type { PodAddresses } from '../downward.js';

/** A volume as containers get it. */
export interface MountedVolume {
  readonly hostPath: string;
  /** Read-only for all containers, also for those that ask to write. */
  readonly isReadOnly: boolean;
}

export type MountedVolumes = ReadonlyMap<string, MountedVolume>;

/** The volumes of pods: there before containers start, up to date while they run, gone afterwards. */
export interface PodVolumes {
  /**
   * Makes all volumes of a pod, or brings their contents up to date. Rejects with VolumesError when
   * one is not to be had; others are made all the same.
   */
  mount(pod: Pod, addresses: PodAddresses): Promise<MountedVolumes>;
  /** Host path of a mount within its volume. Rejects with an Error when the path leads out of it. */
  resolve(mounted: MountedVolumes, mount: VolumeMount, subPath: string): Promise<string>;
  /** Ends what a pod's volumes hold: mounts and files. Harmless when there is nothing. */
  unmount(uid: string): Promise<void>;
}

/** One volume that cannot be had now. */
export interface VolumeFailure {
  readonly volume: string;
  readonly message: string;
}

export class VolumesError extends Error {
  override name = 'VolumesError';
  readonly failures: readonly VolumeFailure[];

  constructor(failures: readonly VolumeFailure[]) {
    super(failures.map(({ message }) => message).join('; '));
    this.failures = failures;
  }
}
