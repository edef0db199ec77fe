/**
 * Pods carry the zone and the region of their node as labels, so that they can be read without
 * access to nodes (KEP-4742, k8s.io/kubernetes/plugin/pkg/admission/podtopologylabels).
 */
import type { Pod } from '../../../gen/kube-core-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { AdmissionPlugin, ObjectLookup } from './admission.js';

const COPIED = ['topology.kubernetes.io/region', 'topology.kubernetes.io/zone'];

/** Of a node that is not there: none. */
export async function topologyLabels(
  nodes: Kind,
  lookup: ObjectLookup,
  nodeName: string,
): Promise<Readonly<Record<string, string>>> {
  const labels = (await lookup.find(nodes, nodeName))?.object.metadata.labels ?? {};
  return Object.fromEntries(
    COPIED.flatMap((name) => {
      const value = labels[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** For pods that come with a node; a binding gives its own labels to others. */
export function podTopologyLabels(pods: Kind, nodes: Kind, lookup: ObjectLookup): AdmissionPlugin {
  return {
    name: 'PodTopologyLabels',
    async mutate({ operation, kind, subresource, object }) {
      if (operation !== 'CREATE' || kind !== pods || subresource !== '') return;
      const pod = object as Pod;
      const { nodeName = '' } = pod.spec;
      if (nodeName === '') return;
      const labels = await topologyLabels(nodes, lookup, nodeName);
      if (Object.keys(labels).length === 0) return;
      pod.metadata.labels = { ...pod.metadata.labels, ...labels };
    },
  };
}
