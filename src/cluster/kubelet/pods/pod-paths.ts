import { join } from 'node:path';
import type { Pod } from '../../../gen/kube-core-v1.js';

/** Paths of the kubelet's files of pods; each follows from names, so that none is remembered. */
export class PodPaths {
  readonly podsDirectory: string;
  readonly logsDirectory: string;

  constructor(rootDirectory: string, podLogsDirectory: string) {
    this.podsDirectory = join(rootDirectory, 'pods');
    this.logsDirectory = podLogsDirectory;
  }

  pod(uid: string): string {
    return join(this.podsDirectory, uid);
  }

  /** `plugin` as in `kubernetes.io~empty-dir`. */
  volume(uid: string, plugin: string, name: string): string {
    return join(this.pod(uid), 'volumes', plugin, name);
  }

  volumes(uid: string): string {
    return join(this.pod(uid), 'volumes');
  }

  /** File that the pod's containers see as /etc/hosts. */
  hosts(uid: string): string {
    return join(this.pod(uid), 'etc-hosts');
  }

  /** Termination message of one run of a container. */
  message(uid: string, container: string, attempt: number): string {
    return join(this.pod(uid), 'containers', container, String(attempt));
  }

  logs(namespace: string, name: string, uid: string): string {
    return join(this.logsDirectory, `${namespace}_${name}_${uid}`);
  }

  logsOf({ metadata }: Pod): string {
    return this.logs(metadata.namespace ?? '', metadata.name ?? '', metadata.uid ?? '');
  }
}

/** Log of one run of a container, below the pod's log directory. */
export function containerLogName(container: string, attempt: number): string {
  return `${container}/${attempt}.log`;
}
