import type { Key } from './interval.js';

/**
 * An interval map that answers "which intervals contain this key?" in O(log n + answers).
 *
 * A height-balanced binary tree ordered by (start, end). Each node holds the greatest end below it,
 * so that a search skips every subtree that ends before the key. `end` null means "no upper bound".
 */
export class IntervalTree<V> {
  private root: Node<V> | undefined;
  private count = 0;

  /** Number of intervals stored. */
  get size(): number {
    return this.count;
  }

  /** The value stored for exactly this interval. */
  get(start: Key, end: Key | null): V | undefined {
    let node = this.root;
    while (node !== undefined) {
      const order = compareIntervals(start, end, node.start, node.end);
      if (order === 0) return node.value;
      node = order < 0 ? node.left : node.right;
    }
    return undefined;
  }

  /** Stores `value` for the interval, replacing what was there. */
  set(start: Key, end: Key | null, value: V): void {
    this.root = this.insert(this.root, start, end, value);
  }

  /** Forgets the interval; no effect when it is not stored. */
  delete(start: Key, end: Key | null): void {
    this.root = this.remove(this.root, start, end);
  }

  /** Appends to `out` the value of every interval that contains `key`, ordered by start, then end. */
  stab(key: Key, out: V[]): void {
    collect(this.root, key, out);
  }

  private insert(node: Node<V> | undefined, start: Key, end: Key | null, value: V): Node<V> {
    if (node === undefined) {
      this.count++;
      return { start, end, value, maxEnd: end, height: 1, left: undefined, right: undefined };
    }
    const order = compareIntervals(start, end, node.start, node.end);
    if (order === 0) {
      node.value = value;
      return node;
    }
    if (order < 0) node.left = this.insert(node.left, start, end, value);
    else node.right = this.insert(node.right, start, end, value);
    return rebalance(node);
  }

  private remove(node: Node<V> | undefined, start: Key, end: Key | null): Node<V> | undefined {
    if (node === undefined) return undefined;
    const order = compareIntervals(start, end, node.start, node.end);
    if (order < 0) node.left = this.remove(node.left, start, end);
    else if (order > 0) node.right = this.remove(node.right, start, end);
    else {
      this.count--;
      if (node.left === undefined) return node.right;
      if (node.right === undefined) return node.left;
      const successor = leftmost(node.right);
      const right = withoutLeftmost(node.right);
      successor.right = right;
      successor.left = node.left;
      return rebalance(successor);
    }
    return rebalance(node);
  }
}

interface Node<V> {
  readonly start: Key;
  readonly end: Key | null;
  value: V;
  /** Greatest end in this subtree; null when one of them has no upper bound. */
  maxEnd: Key | null;
  height: number;
  left: Node<V> | undefined;
  right: Node<V> | undefined;
}

function compareIntervals(startA: Key, endA: Key | null, startB: Key, endB: Key | null): number {
  if (startA !== startB) return startA < startB ? -1 : 1;
  if (endA === endB) return 0;
  if (endA === null) return 1;
  if (endB === null) return -1;
  return endA < endB ? -1 : 1;
}

function collect<V>(from: Node<V> | undefined, key: Key, out: V[]): void {
  let node = from;
  while (node !== undefined) {
    if (node.maxEnd !== null && node.maxEnd <= key) return;
    collect(node.left, key, out);
    // Every interval to the right starts at or after this one.
    if (node.start > key) return;
    if (node.end === null || node.end > key) out.push(node.value);
    node = node.right;
  }
}

function leftmost<V>(from: Node<V>): Node<V> {
  let node = from;
  while (node.left !== undefined) node = node.left;
  return node;
}

function withoutLeftmost<V>(node: Node<V>): Node<V> | undefined {
  if (node.left === undefined) return node.right;
  node.left = withoutLeftmost(node.left);
  return rebalance(node);
}

function heightOf<V>(node: Node<V> | undefined): number {
  return node === undefined ? 0 : node.height;
}

function refresh<V>(node: Node<V>): void {
  const { left, right } = node;
  node.height = 1 + Math.max(heightOf(left), heightOf(right));
  let maxEnd = node.end;
  if (left !== undefined) maxEnd = laterEnd(maxEnd, left.maxEnd);
  if (right !== undefined) maxEnd = laterEnd(maxEnd, right.maxEnd);
  node.maxEnd = maxEnd;
}

function laterEnd(a: Key | null, b: Key | null): Key | null {
  if (a === null || b === null) return null;
  return a > b ? a : b;
}

/** Restores the height balance at `node`, whose subtrees are balanced and differ by at most two. */
function rebalance<V>(node: Node<V>): Node<V> {
  refresh(node);
  const { left, right } = node;
  const lean = heightOf(left) - heightOf(right);
  if (lean > 1 && left !== undefined) {
    if (heightOf(left.left) < heightOf(left.right)) node.left = rotateLeft(left);
    return rotateRight(node);
  }
  if (lean < -1 && right !== undefined) {
    if (heightOf(right.right) < heightOf(right.left)) node.right = rotateRight(right);
    return rotateLeft(node);
  }
  return node;
}

function rotateLeft<V>(node: Node<V>): Node<V> {
  const top = node.right;
  if (top === undefined) return node;
  node.right = top.left;
  top.left = node;
  refresh(node);
  refresh(top);
  return top;
}

function rotateRight<V>(node: Node<V>): Node<V> {
  const top = node.left;
  if (top === undefined) return node;
  node.left = top.right;
  top.right = node;
  refresh(node);
  refresh(top);
  return top;
}
