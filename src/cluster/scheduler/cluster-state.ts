/**
 * All nodes and their pods. A pod that was given a node counts there at once, before the API server
 * shows it (assumed), until it is shown or the binding fails.
 */
import type { Namespace, Node, Pod } from '../../gen/kube-core-v1.js';
import { NodeState } from './node-state.js';
import type { Labels } from '../api/selector.js';
import { podInfoOf, type PodInfo } from './pod-info.js';
import type { Cluster } from './plugins/plugin.js';

export class ClusterState {
  private readonly byName = new Map<string, NodeState>();
  /** uid -> node on which the pod counts. */
  private readonly placed = new Map<string, string>();
  /** Those that count by a decision that the API server does not show yet. */
  private readonly assumed = new Set<string>();
  private readonly namespaces = new Map<string, Labels>();

  /** For one decision: nodes that exist, in the order in which they came, and their pods. */
  cluster(): Cluster {
    const nodes = [...this.byName.values()].filter(({ node }) => node !== undefined);
    return { nodes, namespaceLabels: this.labelsOf };
  }

  setNamespace({ metadata }: Namespace): void {
    this.namespaces.set(metadata.name ?? '', metadata.labels ?? {});
  }

  deleteNamespace(name: string): void {
    this.namespaces.delete(name);
  }

  private readonly labelsOf = (namespace: string): Labels => this.namespaces.get(namespace) ?? {};

  setNode(node: Node): void {
    this.stateOf(node.metadata.name ?? '').setNode(node);
  }

  deleteNode(name: string): void {
    const state = this.byName.get(name);
    if (state === undefined) return;
    state.setNode(undefined);
    this.dropIfEmpty(state);
  }

  /** A pod as the API server shows it: bound and not finished, or it does not count. */
  setPod(pod: Pod): void {
    const { nodeName = '' } = pod.spec;
    const phase = pod.status?.phase;
    const uid = pod.metadata.uid ?? '';
    if (nodeName === '') return;
    this.assumed.delete(uid);
    if (phase === 'Succeeded' || phase === 'Failed') this.deletePod(uid);
    else this.place(podInfoOf(pod), nodeName);
  }

  assume(info: PodInfo, nodeName: string): void {
    this.place(info, nodeName);
    this.assumed.add(info.uid);
  }

  isAssumed(uid: string): boolean {
    return this.assumed.has(uid);
  }

  /** The binding failed. A pod that was shown on a node meanwhile, by another's binding, counts on. */
  forget(uid: string): void {
    if (this.assumed.has(uid)) this.deletePod(uid);
  }

  deletePod(uid: string): void {
    this.assumed.delete(uid);
    const nodeName = this.placed.get(uid);
    if (nodeName === undefined) return;
    this.placed.delete(uid);
    const state = this.stateOf(nodeName);
    state.remove(uid);
    this.dropIfEmpty(state);
  }

  private place(info: PodInfo, nodeName: string): void {
    if (this.placed.get(info.uid) !== nodeName) this.deletePod(info.uid);
    this.placed.set(info.uid, nodeName);
    this.stateOf(nodeName).add(info);
  }

  private stateOf(name: string): NodeState {
    let state = this.byName.get(name);
    if (state === undefined) {
      state = new NodeState(name);
      this.byName.set(name, state);
    }
    return state;
  }

  private dropIfEmpty(state: NodeState): void {
    if (state.node === undefined && state.pods.size === 0) this.byName.delete(state.name);
  }
}
