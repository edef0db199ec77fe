/**
 * Names of images, as the distribution project's reference grammar has them: an optional registry, a
 * path, and a tag or a digest or both.
 */
import { RuntimeError } from '../runtime.js';

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_OWNER = 'library/';
const DEFAULT_TAG = 'latest';
const MAX_NAME_LENGTH = 255;
const LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const REGISTRY = new RegExp(`^(?:${LABEL}(?:[.]${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const COMPONENT = '[a-z0-9]+(?:(?:[.]|_|__|-+)[a-z0-9]+)*';
const PATH = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^sha256:[a-f0-9]{64}$/;

export interface ImageReference {
  /** `docker.io/library/busybox`, with a registry's port if it has one. */
  readonly repository: string;
  /** Empty when only a digest was given. */
  readonly tag: string;
  /** `sha256:...`; empty when none was given. */
  readonly digest: string;
}

/** Throws: RuntimeError InvalidImageName. */
export function parseReference(text: string): ImageReference {
  const at = text.indexOf('@');
  const digest = at === -1 ? '' : text.slice(at + 1);
  const named = at === -1 ? text : text.slice(0, at);
  // A colon before the last slash belongs to the registry's port.
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const name = hasTag ? named.slice(0, colon) : named;
  const tag = hasTag ? named.slice(colon + 1) : digest === '' ? DEFAULT_TAG : '';
  const { registry, path } = splitName(name);
  const isValid =
    REGISTRY.test(registry) &&
    PATH.test(path) &&
    registry.length + path.length < MAX_NAME_LENGTH &&
    (tag === '' ? !hasTag : TAG.test(tag)) &&
    (digest === '' ? at === -1 : DIGEST.test(digest));
  if (!isValid) {
    throw new RuntimeError(
      'InvalidImageName',
      `couldn't parse image name "${text}": invalid reference format`,
    );
  }
  return { repository: `${registry}/${path}`, tag, digest };
}

/** `docker.io/library/busybox:latest`; by digest alone, with `@` and the digest. */
export function formatReference(reference: ImageReference): string {
  const { repository, tag, digest } = reference;
  return tag === '' ? `${repository}@${digest}` : `${repository}:${tag}`;
}

function splitName(name: string): { registry: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  const isRegistry = /[.:]/.test(first) || first === 'localhost' || /[A-Z]/.test(first);
  if (!isRegistry) {
    return { registry: DEFAULT_REGISTRY, path: slash === -1 ? `${DEFAULT_OWNER}${name}` : name };
  }
  const registry = first === 'index.docker.io' ? DEFAULT_REGISTRY : first;
  const rest = name.slice(slash + 1);
  const isOfficial = registry === DEFAULT_REGISTRY && !rest.includes('/');
  return { registry, path: isOfficial ? `${DEFAULT_OWNER}${rest}` : rest };
}
