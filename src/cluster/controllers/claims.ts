import type { KubeObject } from '../api/object.js';
import type { LabelMatcher } from '../api/selector.js';
import { isApiError } from '../api/status.js';
import type { ResourceClient } from '../client/client.js';
import { controllerOf, controllerReferenceTo, isGoing } from './references.js';

export interface Claims<O extends KubeObject, T extends KubeObject> {
  readonly owner: O;
  readonly owners: ResourceClient<O>;
  readonly selector: LabelMatcher;
  /** Objects that the owner controls, and orphans of its namespace; others are passed over. */
  readonly candidates: readonly T[];
  readonly client: ResourceClient<T>;
}

/**
 * The candidates that the owner controls from now on: it adopts orphans that its selector matches,
 * and releases what it no longer matches. The owner's cached state may be old, so it is read anew
 * before the first adoption. Throws: Error when the owner is gone; ApiError.
 */
export async function claim<O extends KubeObject, T extends KubeObject>(
  claims: Claims<O, T>,
): Promise<T[]> {
  const { owner, selector, candidates } = claims;
  const owned: T[] = [];
  let isOwnerChecked = false;
  for (const candidate of candidates) {
    const matches = selector(candidate.metadata.labels ?? {});
    const controller = controllerOf(candidate);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (matches) owned.push(candidate);
      else if (!isGoing(owner)) await release(claims, candidate);
      continue;
    }
    if (!matches || isGoing(owner) || isGoing(candidate)) continue;
    if (!isOwnerChecked) await checkOwner(claims);
    isOwnerChecked = true;
    const adopted = await adopt(claims, candidate);
    if (adopted !== undefined) owned.push(adopted);
  }
  return owned;
}

async function checkOwner<O extends KubeObject, T extends KubeObject>({
  owner,
  owners,
}: Claims<O, T>): Promise<void> {
  const { namespace = '', name = '', uid } = owner.metadata;
  const live = await owners.get(name);
  const what = `${owner.kind} ${namespace}/${name}`;
  if (live.metadata.uid !== uid) throw new Error(`${what} is another one now`);
  if (isGoing(live)) throw new Error(`${what} has just been deleted`);
}

/** Undefined when it is gone meanwhile. */
async function adopt<O extends KubeObject, T extends KubeObject>(
  { owner, client }: Claims<O, T>,
  { metadata }: T,
): Promise<T | undefined> {
  const ownerReferences = [{ ...controllerReferenceTo(owner) }];
  const patch = { metadata: { ownerReferences, uid: metadata.uid } };
  try {
    return await client.patch(metadata.name ?? '', 'strategic', patch);
  } catch (error) {
    if (isApiError(error, 'NotFound')) return undefined;
    throw error;
  }
}

async function release<O extends KubeObject, T extends KubeObject>(
  { owner, client }: Claims<O, T>,
  { metadata }: T,
): Promise<void> {
  const ownerReferences = [{ $patch: 'delete', uid: owner.metadata.uid }];
  const patch = { metadata: { ownerReferences, uid: metadata.uid } };
  try {
    await client.patch(metadata.name ?? '', 'strategic', patch);
  } catch (error) {
    // It is gone, or it has no such owner any more.
    if (isApiError(error, 'NotFound') || isApiError(error, 'Invalid')) return;
    throw error;
  }
}
