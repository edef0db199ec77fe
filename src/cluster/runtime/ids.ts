import type { ClusterEnv } from '../env.js';

const WORDS = 8;

/** 64 hexadecimal digits, as ids of sandboxes and containers are. */
export function newId(env: ClusterEnv): string {
  const words = Array.from({ length: WORDS }, () => env.randomU32().toString(16).padStart(8, '0'));
  return words.join('');
}
