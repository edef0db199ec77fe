/** User that a container runs as: numbers and names by the image's /etc/passwd and /etc/group. */
import { readFileSync } from 'node:fs';
import { RuntimeError, type ContainerSecurity } from '../runtime.js';
import { isAbsent } from '../state-files.js';
import { resolveInRoot } from '../images/rooted-path.js';

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

const MAX_ID = 2 ** 32 - 2;

/**
 * `imageUser` is the configuration's: `www-data`, `33`, `33:33`, or empty for root.
 *
 * Throws: RuntimeError InvalidArgument for a name that the image does not know.
 */
export function resolveUser(
  rootfs: string,
  imageUser: string,
  security: ContainerSecurity,
): ContainerUser {
  const [imageName = '', imageGroup = ''] = imageUser.split(':');
  const users = table(rootfs, '/etc/passwd');
  const groups = table(rootfs, '/etc/group');
  const wanted = security.runAsUser === undefined ? imageName : String(security.runAsUser);
  const entry = users.find(([name, , uid]) => name === wanted || uid === wanted);
  const uid = numberOf(entry?.[2] ?? (wanted === '' ? '0' : wanted), 'user', wanted);
  // The image's group belongs to the image's user.
  const group = security.runAsUser === undefined ? imageGroup : '';
  const gid = security.runAsGroup ?? groupOf(group, groups, entry?.[3]);
  const name = entry?.[0] ?? users.find(([, , id]) => id === String(uid))?.[0];
  const memberships = groups
    .filter(([, , , members = '']) => name !== undefined && members.split(',').includes(name))
    .map(([groupName = '', , id = '']) => numberOf(id, 'group', groupName));
  const additional = new Set([...memberships, ...security.supplementalGroups]);
  additional.delete(gid);
  return { uid, gid, additionalGids: [...additional] };
}

function groupOf(group: string, groups: string[][], ofUser: string | undefined): number {
  if (group === '') return numberOf(ofUser ?? '0', 'group', group);
  const entry = groups.find(([name, , gid]) => name === group || gid === group);
  return numberOf(entry?.[2] ?? group, 'group', group);
}

function numberOf(text: string, kind: string, shown: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (number <= MAX_ID) return number;
  throw new RuntimeError('InvalidArgument', `unable to find ${kind} ${shown}: not in the image`);
}

function table(rootfs: string, path: string): string[][] {
  let text: string;
  try {
    text = readFileSync(resolveInRoot(rootfs, path), 'utf8');
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
  return text
    .split('\n')
    .filter((line) => line.includes(':'))
    .map((line) => line.trim().split(':'));
}
