/** Pods for tests, as they are stored, and what validation says about them. */
import type { Pod, PodSpec } from '../../../../src/gen/kube-core-v1.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject } from '../../../../src/cluster/api/object.js';
import type { FieldError } from '../../../../src/cluster/api/status.js';
import { decoded } from './recorded-workloads.js';

export const POD_KIND = pod as unknown as Kind;
export const IMAGE = { name: 'c', image: 'nginx' };

/** A pod as it is stored. */
export function podWith(spec: Partial<PodSpec>, metadata: object = {}): Pod {
  const body = {
    metadata: { name: 'p', namespace: 'default', resourceVersion: '1', ...metadata },
    spec: { containers: [{ ...IMAGE }], ...spec },
  };
  const object = decoded(POD_KIND, body as unknown as JsonObject) as unknown as Pod;
  pod.strategy.prepareCreate(object);
  return object;
}

export function textsOf(errors: readonly FieldError[]): string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`);
}
