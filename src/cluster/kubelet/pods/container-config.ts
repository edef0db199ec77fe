/** From a container's specification to what the runtime is told. */
import type { Container, Pod } from '../../../gen/kube-core-v1.js';
import type {
  ContainerConfig,
  ContainerResources,
  ContainerSecurity,
  Image,
  Mount,
} from '../../runtime/runtime.js';
import type { EnvEntry } from '../env.js';
import { expand } from '../env.js';
import { containerLogName } from './pod-paths.js';
import { containerHash, graceSecondsOf } from './pod-spec.js';
import {
  CONTAINER_HASH,
  CONTAINER_NAME_LABEL,
  GRACE_PERIOD,
  MESSAGE_FILE,
  MESSAGE_POLICY,
} from './pod-view.js';
import { podLabels } from './sandbox-config.js';
import { StartError } from './start-error.js';

export interface ContainerParts {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly image: Image;
  readonly env: readonly EnvEntry[];
  readonly mounts: readonly Mount[];
  readonly resources: ContainerResources;
  /** Path on the node of the container's termination message. */
  readonly messageFile: string;
}

/** Throws: StartError when the specification and the image do not go together. */
export function containerConfig(parts: ContainerParts): ContainerConfig {
  const { pod, container, attempt, image, env } = parts;
  const values = new Map(env.map(({ name, value }) => [name, value]));
  const expanded = (texts: readonly string[] | undefined): string[] =>
    (texts ?? []).map((text) => expand(text, (name) => values.get(name)));
  return {
    name: container.name,
    attempt,
    imageId: image.id,
    image: container.image ?? '',
    command: expanded(container.command),
    args: expanded(container.args),
    workingDir: container.workingDir ?? '',
    env,
    mounts: parts.mounts,
    labels: { ...podLabels(pod), [CONTAINER_NAME_LABEL]: container.name },
    annotations: {
      [CONTAINER_HASH]: containerHash(container),
      [GRACE_PERIOD]: String(graceSecondsOf(pod)),
      [MESSAGE_FILE]: parts.messageFile,
      [MESSAGE_POLICY]: container.terminationMessagePolicy ?? 'File',
    },
    logPath: containerLogName(container.name, attempt),
    hasStdin: container.stdin === true,
    isStdinOnce: container.stdinOnce === true,
    hasTty: container.tty === true,
    resources: parts.resources,
    security: containerSecurity(pod, container, image),
    stopSignal: container.lifecycle?.stopSignal ?? '',
  };
}

function containerSecurity(pod: Pod, container: Container, image: Image): ContainerSecurity {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  const runAsUser = own.runAsUser ?? shared.runAsUser;
  const groups = [...(shared.supplementalGroups ?? [])];
  if (shared.fsGroup !== undefined) groups.push(shared.fsGroup);
  if (own.runAsNonRoot ?? shared.runAsNonRoot ?? false) checkNonRoot(runAsUser, image);
  return {
    isPrivileged: own.privileged === true,
    addCapabilities: own.capabilities?.add ?? [],
    dropCapabilities: own.capabilities?.drop ?? [],
    runAsUser,
    runAsGroup: own.runAsGroup ?? shared.runAsGroup,
    supplementalGroups: [...new Set(groups)],
    isRootReadOnly: own.readOnlyRootFilesystem === true,
    noNewPrivileges: own.allowPrivilegeEscalation === false,
  };
}

function checkNonRoot(runAsUser: number | undefined, image: Image): void {
  if (runAsUser !== undefined) {
    if (runAsUser !== 0) return;
    throw configError("container's runAsUser breaks non-root policy");
  }
  const [user = ''] = image.user.split(':');
  if (user === '' || user === '0') {
    throw configError('container has runAsNonRoot and image will run as root');
  }
  if (!/^[0-9]+$/.test(user)) {
    throw configError(
      `container has runAsNonRoot and image has non-numeric user (${user}), cannot verify user is non-root`,
    );
  }
}

function configError(message: string): StartError {
  return new StartError('CreateContainerConfigError', message);
}
