import type { Pod } from '../../../../../gen/kube-core-v1.js';

/** Annotation of pods that show a static pod of a node; nobody but that node runs them. */
export const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

export function isMirrorPod({ metadata }: Pod): boolean {
  return metadata.annotations?.[MIRROR_ANNOTATION] !== undefined;
}
