import type { Node, Pod } from '../../../../src/gen/kube-core-v1.js';
import type { PodObjects } from '../../../../src/cluster/apiserver/subresources/pod-location.js';

/** Pods and nodes of one test. */
export class PodFixture implements PodObjects {
  readonly pods = new Map<string, Pod>();
  readonly nodes = new Map<string, Node>();

  pod(namespace: string, name: string): Promise<Pod | undefined> {
    return Promise.resolve(this.pods.get(`${namespace}/${name}`));
  }

  node(name: string): Promise<Node | undefined> {
    return Promise.resolve(this.nodes.get(name));
  }

  addPod(name: string, nodeName: string, containers: readonly string[], spec: object = {}): void {
    this.pods.set(`d/${name}`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'd' },
      spec: { nodeName, containers: containers.map((of) => ({ name: of })), ...spec },
    });
  }

  addNode(name: string, address: string, port: number): void {
    this.nodes.set(name, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name },
      status: {
        addresses: [
          { type: 'Hostname', address: name },
          { type: 'InternalIP', address },
        ],
        daemonEndpoints: { kubeletEndpoint: { Port: port } },
      },
    } as Node);
  }
}
