/** Parts of a request that writes: its options, and the object or options in its body. */
import type { Scale } from '../../../gen/kube-autoscaling-v1.js';
import type { DeleteOptions } from '../../../gen/kube-meta-v1.js';
import { decodeObject } from '../../api/codec/decode.js';
import { bodyFieldProblems } from '../../api/codec/field-validation.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import { badRequest } from '../../api/status.js';
import type { Exchange } from '../pipeline/exchange.js';
import { checkDeleteOptions, deleteOptionsOf } from './delete-options.js';
import { parseWriteQuery, type WriteQuery } from './write-options.js';
import type { WriteContext } from './writer.js';

const DELETE_OPTIONS = {
  group: '',
  version: 'v1',
  kind: 'DeleteOptions',
  message: 'meta.v1.DeleteOptions',
  isOptions: true,
};

export function writeQuery({ request }: Exchange, options: string): WriteQuery {
  return parseWriteQuery(request.query, request.header('user-agent'), options);
}

export function writeContext(
  exchange: Exchange,
  query: WriteQuery,
  subresource: string,
): WriteContext {
  return {
    user: exchange.user,
    manager: query.manager,
    isDryRun: query.isDryRun,
    subresource,
    warnings: exchange.warnings,
  };
}

export async function readObject(
  { request, warnings }: Exchange,
  kind: Kind,
  query: WriteQuery,
): Promise<KubeObject> {
  const decoded = decodeObject(await request.body(), request.header('content-type') ?? '', kind);
  warnings.push(...bodyFieldProblems(decoded.unknownFields, query.fieldValidation, kind));
  kind.setDefaults(decoded.object);
  return decoded.object;
}

export async function readDeleteOptions({ request }: Exchange): Promise<DeleteOptions> {
  const body = await request.body();
  if (body.length === 0) {
    const options = deleteOptionsOf(request.query);
    checkDeleteOptions(options);
    return options;
  }
  const contentType = request.header('content-type') ?? '';
  const { object } = decodeObject(body, contentType, DELETE_OPTIONS);
  const options = object as unknown as DeleteOptions;
  checkDeleteOptions(options);
  return options;
}

export function checkName({ metadata }: KubeObject | Scale, name: string): void {
  const { name: given = '' } = metadata;
  if (given === '') {
    metadata.name = name;
  } else if (given !== name) {
    throw badRequest(
      `the name of the object (${given}) does not match the name on the URL (${name})`,
    );
  }
}
