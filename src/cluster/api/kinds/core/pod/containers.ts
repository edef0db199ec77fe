/** The containers of a pod, of all sorts. */
import type { Container, EphemeralContainer, PodSpec } from '../../../../../gen/kube-core-v1.js';

export type AnyContainer = Container | EphemeralContainer;

/** All containers with their paths below `path`: init containers, containers, ephemeral ones. */
export function containersOf(
  spec: PodSpec,
  path: string,
): { readonly container: AnyContainer; readonly path: string }[] {
  const lists = [
    ['initContainers', spec.initContainers],
    ['containers', spec.containers],
    ['ephemeralContainers', spec.ephemeralContainers],
  ] as const;
  return lists.flatMap(([name, containers]) =>
    (containers ?? []).map((container, index) => ({
      container,
      path: `${path}.${name}[${index}]`,
    })),
  );
}

/** An init container that keeps running beside the pod's containers. */
export function isSidecar(container: AnyContainer): boolean {
  return container.restartPolicy === 'Always';
}
