import type { ResourceType } from '../../../src/cluster/api/kinds/kind.js';
import type { Pod } from '../../../src/gen/kube-core-v1.js';

export const PODS: ResourceType<Pod> = {
  group: '',
  version: 'v1',
  kind: 'Pod',
  resource: 'pods',
  isNamespaced: true,
};

export interface PodFacts {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly node?: string;
}

/** A pod of one container, in namespace `default` if none is named. */
export function podOf(name: string, { namespace = 'default', labels, node }: PodFacts = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, ...(labels === undefined ? {} : { labels: { ...labels } }) },
    spec: {
      containers: [{ name: 'c', image: 'busybox' }],
      ...(node === undefined ? {} : { nodeName: node }),
    },
  };
}
