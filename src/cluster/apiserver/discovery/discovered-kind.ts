import type { Kind } from '../../api/kinds/kind.js';

/**
 * Facts of a resource that discovery and OpenAPI tell. A Kind is one; so are resources that are
 * never stored.
 */
export type DiscoveredKind = Pick<
  Kind,
  | 'group'
  | 'version'
  | 'kind'
  | 'resource'
  | 'singular'
  | 'isNamespaced'
  | 'shortNames'
  | 'categories'
  | 'verbs'
  | 'subresources'
> & {
  /** Empty for what is never stored. */
  readonly storagePrefix: string;
  /** Only whether it is there matters here. */
  readonly status?: object;
  readonly scale?: object;
};
