/** The OpenAPI v3 document of one group and version. */
import { apiVersionOf } from '../../api/object.js';
import { messageOfKind } from '../../api/schema/table.js';
import type { DiscoveredKind } from '../discovery/discovered-kind.js';
import { KUBERNETES_VERSION } from '../discovery/version.js';
import { PATCH, schemaName, SchemaSet, type Json } from './schemas.js';
import { pathsOf } from './paths.js';

const SECURITY = { BearerToken: { type: 'apiKey', name: 'authorization', in: 'header' } };

/** Messages of meta.v1 that operations of every group speak of. */
const COMMON = ['DeleteOptions', 'Status', 'WatchEvent'];

/**
 * `kinds` are those of the group and version, all of them. `pause` lets others run: a large kind takes
 * milliseconds.
 */
export async function openapiDocument(
  group: string,
  version: string,
  kinds: readonly DiscoveredKind[],
  pause: () => Promise<void>,
): Promise<Json> {
  const schemas = new SchemaSet();
  const own = { group, version };
  const hasStored = kinds.some(({ storagePrefix }) => storagePrefix !== '');
  if (hasStored) schemas.addPlain(PATCH, { type: 'object' });
  for (const kind of hasStored ? COMMON : []) {
    const gvks = [{ group: '', kind, version: 'v1' }];
    if (kind !== 'Status' && group !== '') gvks.push({ group, kind, version });
    schemas.add(`meta.v1.${kind}`, gvks);
  }
  const addKind = (of: { group: string; version: string }, kind: string): string | undefined => {
    const message = messageOfKind(of.group, of.version, kind);
    if (message === undefined) return undefined;
    schemas.add(message, [{ group: of.group, kind, version: of.version }]);
    return schemaName(message);
  };
  let paths: Json = {};
  for (const kind of kinds) {
    const object = addKind(own, kind.kind) ?? '';
    const list = kind.verbs.includes('list') ? (addKind(own, `${kind.kind}List`) ?? '') : '';
    const of = (subGroup: string, subVersion: string, name: string): string | undefined =>
      addKind({ group: subGroup, version: subVersion }, name);
    paths = { ...paths, ...pathsOf(kind, { object, list, of }) };
    await pause();
  }
  const title = `${apiVersionOf(group, version)} of Kubernetes`;
  return {
    openapi: '3.0.0',
    info: { title, version: KUBERNETES_VERSION },
    paths,
    components: { schemas: schemas.toJson(), securitySchemes: SECURITY },
  };
}
