/** Resources that several clients reach; kinds (src/cluster/api/kinds) are for the server. */
import type { Lease } from '../../gen/kube-coordination-v1.js';
import type { Event } from '../../gen/kube-core-v1.js';
import type { ResourceType } from '../api/kinds/kind.js';

export const EVENTS: ResourceType<Event> = {
  group: '',
  version: 'v1',
  kind: 'Event',
  resource: 'events',
  isNamespaced: true,
};

export const LEASES: ResourceType<Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  resource: 'leases',
  isNamespaced: true,
};
