import { readFile } from 'node:fs/promises';
import type { ClusterEnv } from '../../env.js';
import type { ClusterAccess } from '../kubeconfig.js';

/** The bearer token to send now, if any. Rejects when its file cannot be read and never could be. */
export type TokenSource = () => Promise<string | undefined>;

/** A token from a file is used this long; the kubelet replaces it well before its end. */
const READ_AGAIN_MS = 10_000;

export function tokenSource(env: ClusterEnv, { token, tokenFile }: ClusterAccess): TokenSource {
  if (tokenFile === undefined) return () => Promise.resolve(token);
  let known: { readonly token: string; readonly readMs: number } | undefined;
  return async () => {
    const nowMs = env.monoMs();
    if (known !== undefined && nowMs - known.readMs < READ_AGAIN_MS) return known.token;
    try {
      const text = await readFile(tokenFile, 'utf8');
      known = { token: text.trim(), readMs: nowMs };
    } catch (error) {
      // A file that is gone for a moment does not take away a token that may still be good.
      if (known === undefined) throw error;
    }
    return known.token;
  };
}
