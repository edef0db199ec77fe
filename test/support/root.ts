import { spawnSync } from 'node:child_process';

/** True when tests may make network namespaces here. */
export function canMakeNamespaces(): boolean {
  if (process.getuid?.() !== 0) return false;
  const name = `test-probe-${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  return spawnSync('ip', ['netns', 'delete', name]).status === 0;
}
