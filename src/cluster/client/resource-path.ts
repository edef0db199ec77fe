import { invariant } from '../../base/invariant.js';
import type { ResourceType } from '../api/kinds/kind.js';

/**
 * The path of a collection, an object or a subresource. `namespace` is empty for cluster-scoped
 * resources and for collections over all namespaces.
 */
export function resourcePath(
  type: ResourceType,
  namespace: string,
  name?: string,
  subresource?: string,
): string {
  const root = type.group === '' ? '/api' : `/apis/${type.group}`;
  const within = namespace === '' ? '' : `/namespaces/${segment(namespace)}`;
  const collection = `${root}/${type.version}${within}/${type.resource}`;
  if (name === undefined) return collection;
  invariant(name !== '', 'an object of {} has a name', type.resource);
  invariant(
    type.isNamespaced === (namespace !== ''),
    'the client of one {} needs a namespace exactly when these have one, not {}',
    type.resource,
    JSON.stringify(namespace),
  );
  const object = `${collection}/${segment(name)}`;
  return subresource === undefined ? object : `${object}/${subresource}`;
}

/** Names with dots alone would change the path on their way. */
function segment(text: string): string {
  return text === '.' || text === '..' ? text.replaceAll('.', '%2E') : encodeURIComponent(text);
}
