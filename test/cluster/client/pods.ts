import type { Pod } from '../../../src/gen/kube-core-v1.js';

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
