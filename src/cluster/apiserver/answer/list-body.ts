/** Bodies of lists, made item by item in slices, so that a long list holds up nobody else. */
import type { ClusterEnv } from '../../env.js';
import { turnsOf } from '../../turns.js';
import type { StoredObject } from '../storage/stored-object.js';

const encoder = new TextEncoder();
/** Pieces are gathered to chunks of about this size. */
const CHUNK_BYTES = 256 << 10;

export interface ListForm {
  /** Before the first item. */
  readonly opening: string;
  readonly item: (stored: StoredObject) => string | readonly Uint8Array[];
  /** Between items. */
  readonly separator: string;
  readonly closing: string;
}

/** The body as chunks, in order. */
export async function listBody(
  items: readonly StoredObject[],
  form: ListForm,
  env: ClusterEnv,
): Promise<Uint8Array[]> {
  const turns = turnsOf(env);
  const separator = encoder.encode(form.separator);
  const chunks: Uint8Array[] = [];
  let parts: Uint8Array[] = [encoder.encode(form.opening)];
  let bytes = 0;
  for (const [i, stored] of items.entries()) {
    const pause = turns.pause();
    if (pause !== undefined) await pause;
    if (i > 0) parts.push(separator);
    const piece = form.item(stored);
    for (const part of typeof piece === 'string' ? [encoder.encode(piece)] : piece) {
      parts.push(part);
      bytes += part.length;
    }
    if (bytes < CHUNK_BYTES) continue;
    chunks.push(Buffer.concat(parts));
    parts = [];
    bytes = 0;
  }
  parts.push(encoder.encode(form.closing));
  chunks.push(Buffer.concat(parts));
  return chunks;
}
