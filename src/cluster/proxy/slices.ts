import type { EndpointSlice } from '../../gen/kube-discovery-v1.js';
import { SERVICE_NAME_LABEL } from '../api/service-names.js';

/** `namespace/name` of the service that a slice belongs to. */
export function serviceKeyOf({ metadata }: EndpointSlice): string {
  return `${metadata.namespace ?? ''}/${metadata.labels?.[SERVICE_NAME_LABEL] ?? ''}`;
}
