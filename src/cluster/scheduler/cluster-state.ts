/**
 * All nodes and their pods. A pod that was given a node counts there at once, before the API server
 * shows it (assumed), until it is shown or the binding fails.
 */
import type { Node, Pod } from '../../gen/kube-core-v1.js';
import { NodeState } from './node-state.js';
import { podInfoOf, type PodInfo } from './pod-info.js';

export class ClusterState {
  private readonly byName = new Map<string, NodeState>();
  /** uid -> node on which the pod counts. */
  private readonly placed = new Map<string, string>();

  /** Nodes that exist, in the order in which they came. */
  nodes(): NodeState[] {
    return [...this.byName.values()].filter(({ node }) => node !== undefined);
  }

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
    if (phase === 'Succeeded' || phase === 'Failed') this.deletePod(uid);
    else this.place(podInfoOf(pod), nodeName);
  }

  assume(info: PodInfo, nodeName: string): void {
    this.place(info, nodeName);
  }

  deletePod(uid: string): void {
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
