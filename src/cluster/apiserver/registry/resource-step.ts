/**
 * The last step of the pipeline: what a request about a resource does. Verbs are the same for all
 * kinds; status and scale too. Other subresources have handlers of their own.
 */
import type { Scale } from '../../../gen/kube-autoscaling-v1.js';
import type { DeleteOptions } from '../../../gen/kube-meta-v1.js';
import { decodeObject } from '../../api/codec/decode.js';
import { bodyFieldProblems } from '../../api/codec/field-validation.js';
import type { Kind, Verb } from '../../api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../../api/object.js';
import { badRequest, conflict, methodNotSupported, unknownPath } from '../../api/status.js';
import type { Answer, Exchange, RequestInfo, Step } from '../pipeline/exchange.js';
import { SCALE_VIEW, scaled, scaleOf } from '../subresources/scale.js';
import { checkDeleteOptions, deleteOptionsOf } from './delete-options.js';
import { deletedStatus } from './deletion.js';
import { parseListQuery } from './list-options.js';
import { patched, readPatch, type Patch } from './patch.js';
import type { Reader } from './reader.js';
import { parseWriteQuery, type WriteQuery } from './write-options.js';
import { keyOf, type WriteContext, type Writer } from './writer.js';

/** Answers requests of one subresource: the method is checked already. */
export type SubresourceHandler = (exchange: Exchange, kind: Kind) => Promise<Answer>;

export interface ResourceStepSetup {
  readonly reader: Reader;
  readonly writer: Writer;
  /** `pods/log` and so on, without status and scale. */
  readonly subresources: ReadonlyMap<string, SubresourceHandler>;
}

const SCALE = {
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  message: 'autoscaling.v1.Scale',
};
const DELETE_OPTIONS = {
  group: '',
  version: 'v1',
  kind: 'DeleteOptions',
  message: 'meta.v1.DeleteOptions',
  isOptions: true,
};
/** Deletes of a collection that run at a time. */
const DELETES_AT_ONCE = 10;

export function resourceStep(setup: ResourceStepSetup): Step {
  const verbs = new Verbs(setup);
  return (exchange) => {
    const { kind, info, request } = exchange;
    if (kind === undefined) return undefined;
    // A namespace is in no namespace but itself.
    const isMisplaced = !kind.isNamespaced && info.namespace !== '' && info.namespace !== info.name;
    if (isMisplaced) throw unknownPath();
    if (request.method === 'HEAD') throw methodNotSupported();
    if (info.subresource === '') return verbs.ofResource(exchange, kind);
    if (info.subresource === 'status' && kind.status !== undefined) {
      return verbs.ofStatus(exchange, kind);
    }
    if (info.subresource === 'scale' && kind.scale !== undefined) {
      return verbs.ofScale(exchange, kind);
    }
    const handler = setup.subresources.get(`${kind.resource}/${info.subresource}`);
    const known = kind.subresources.find(({ name }) => name === info.subresource);
    if (handler === undefined || known === undefined) throw unknownPath();
    if (!known.verbs.some((verb) => verb === info.verb)) throw methodNotSupported();
    return handler(exchange, kind);
  };
}

class Verbs {
  private readonly reader: Reader;
  private readonly writer: Writer;

  constructor({ reader, writer }: ResourceStepSetup) {
    this.reader = reader;
    this.writer = writer;
  }

  ofResource(exchange: Exchange, kind: Kind): Promise<Answer> {
    const { verb } = exchange.info;
    if (kind.deprecation !== undefined) exchange.warnings.push(kind.deprecation);
    if (!isServed(kind, verb) || !isOfPath(kind, exchange.info)) throw methodNotSupported();
    switch (verb as Verb) {
      case 'get':
        return this.get(exchange, kind);
      case 'list':
      case 'watch':
        return this.listOrWatch(exchange, kind);
      case 'create':
        return this.create(exchange, kind);
      case 'update':
        return this.update(exchange, kind, '');
      case 'patch':
        return this.patch(exchange, kind, '');
      case 'delete':
        return this.delete(exchange, kind);
      case 'deletecollection':
        return this.deleteCollection(exchange, kind);
    }
  }

  async ofStatus(exchange: Exchange, kind: Kind): Promise<Answer> {
    switch (exchange.info.verb) {
      case 'get':
        return this.get(exchange, kind);
      case 'update':
        return this.update(exchange, kind, 'status');
      case 'patch':
        return this.patch(exchange, kind, 'status');
      default:
        throw methodNotSupported();
    }
  }

  private async get({ info, request }: Exchange, kind: Kind): Promise<Answer> {
    const key = keyOf(kind, info.namespace, info.name);
    const version = request.query.get('resourceVersion') ?? '';
    return { type: 'object', status: 200, kind, stored: await this.reader.get(kind, key, version) };
  }

  private async listOrWatch({ info, request }: Exchange, kind: Kind): Promise<Answer> {
    const query = parseListQuery(request.query, info.verb === 'watch');
    // A watch of one object by its path is a watch with a selector on its name.
    const fieldSelector =
      info.name === '' || query.fieldSelector !== ''
        ? query.fieldSelector
        : `metadata.name=${info.name}`;
    const wanted = { ...query, fieldSelector };
    if (query.isWatch) {
      const subscription = await this.reader.watch(kind, info.namespace, wanted);
      return { type: 'watch', kind, subscription };
    }
    return { type: 'list', kind, page: await this.reader.list(kind, info.namespace, wanted) };
  }

  private async create(exchange: Exchange, kind: Kind): Promise<Answer> {
    const query = writeQuery(exchange, 'CreateOptions');
    const object = await decode(exchange, kind, query);
    const context = contextOf(exchange, query, '');
    const stored = await this.writer.create(kind, exchange.info.namespace, object, context);
    return { type: 'object', status: 201, kind, stored };
  }

  private async update(exchange: Exchange, kind: Kind, subresource: string): Promise<Answer> {
    const { namespace, name } = exchange.info;
    const query = writeQuery(exchange, 'UpdateOptions');
    const object = await decode(exchange, kind, query);
    const context = contextOf(exchange, query, subresource);
    checkName(object, name);
    const change = (current: KubeObject): KubeObject => {
      checkUid(kind, current, object);
      return structuredClone(object);
    };
    if (subresource === '' && kind.strategy.allowsCreateOnUpdate) {
      const result = await this.writer.updateOrCreate(kind, namespace, object, context, change);
      return { type: 'object', status: result.isNew ? 201 : 200, kind, stored: result.stored };
    }
    const stored = await this.writer.update(kind, namespace, name, context, change);
    return { type: 'object', status: 200, kind, stored };
  }

  private async patch(exchange: Exchange, kind: Kind, subresource: string): Promise<Answer> {
    const { namespace, name } = exchange.info;
    const query = writeQuery(exchange, 'PatchOptions');
    const { request, warnings } = exchange;
    const patch = readPatch(request.header('content-type') ?? '', await request.body());
    const context = contextOf(exchange, query, subresource);
    const found: string[] = [];
    const stored = await this.writer.update(kind, namespace, name, context, (current) => {
      found.length = 0;
      const json = current as unknown as JsonObject;
      const next = patched(patch, json, kind, query.fieldValidation, found);
      kind.setDefaults(next as unknown as KubeObject);
      return next as unknown as KubeObject;
    });
    warnings.push(...found);
    return { type: 'object', status: 200, kind, stored };
  }

  private async delete(exchange: Exchange, kind: Kind): Promise<Answer> {
    const { namespace, name } = exchange.info;
    const options = await readDeleteOptions(exchange);
    const context = deleteContext(exchange, options);
    const { stored, isGone } = await this.writer.delete(kind, namespace, name, options, context);
    const showsObject =
      !isGone || kind.strategy.graceSeconds !== undefined || kind.strategy.returnsDeleted === true;
    if (showsObject) return { type: 'object', status: 200, kind, stored };
    return { type: 'value', status: 200, value: deletedStatus(kind, stored.object) };
  }

  private async deleteCollection(exchange: Exchange, kind: Kind): Promise<Answer> {
    const { info, request } = exchange;
    const options = await readDeleteOptions(exchange);
    const query = parseListQuery(request.query, false);
    const page = await this.reader.list(kind, info.namespace, query);
    const context = deleteContext(exchange, options);
    for (let at = 0; at < page.items.length; at += DELETES_AT_ONCE) {
      const some = page.items.slice(at, at + DELETES_AT_ONCE);
      await Promise.all(
        some.map(async ({ object: { metadata } }) => {
          const { name = '', namespace = '', uid } = metadata;
          // One of the same name that came since is another object.
          const own = { ...options, preconditions: { ...options.preconditions, uid } };
          await this.writer.delete(kind, namespace, name, own, context).catch(ignoreGone);
        }),
      );
    }
    return { type: 'list', kind, page };
  }

  async ofScale(exchange: Exchange, kind: Kind): Promise<Answer> {
    const paths = kind.scale;
    if (paths === undefined) throw unknownPath();
    const { info, request } = exchange;
    if (info.verb === 'get') {
      const stored = await this.reader.get(kind, keyOf(kind, info.namespace, info.name), '');
      const value = scaleOf(paths, stored.object);
      return { type: 'value', status: 200, value, view: SCALE_VIEW };
    }
    if (info.verb !== 'update' && info.verb !== 'patch') throw methodNotSupported();
    const isPatch = info.verb === 'patch';
    const query = writeQuery(exchange, isPatch ? 'PatchOptions' : 'UpdateOptions');
    const body = await request.body();
    const contentType = request.header('content-type') ?? '';
    const context = contextOf(exchange, query, 'scale');
    const wantedFrom = isPatch
      ? patchedScale(readPatch(contentType, body))
      : givenScale(decodeObject(body, contentType, SCALE).object as Scale, info.name);
    const stored = await this.writer.update(kind, info.namespace, info.name, context, (current) =>
      scaled(kind, paths, current, wantedFrom(scaleOf(paths, current))),
    );
    const value = scaleOf(paths, stored.object);
    return { type: 'value', status: 200, value, view: SCALE_VIEW };
  }
}

function patchedScale(patch: Patch): (current: Scale) => Scale {
  return (current) => {
    const json = current as unknown as JsonObject;
    return patched(patch, json, SCALE, 'Ignore', []) as unknown as Scale;
  };
}

function givenScale(scale: Scale, name: string): () => Scale {
  checkName(scale, name);
  return () => scale;
}

function isServed(kind: Kind, verb: string): boolean {
  return kind.verbs.some((served) => served === verb);
}

/** Collections are read and created in; across all namespaces they are only read. */
function isOfPath(kind: Kind, { verb, name, namespace }: RequestInfo): boolean {
  const isInScope = !kind.isNamespaced || namespace !== '';
  switch (verb) {
    case 'create':
      return name === '' && isInScope;
    case 'update':
    case 'patch':
    case 'delete':
      return name !== '' && isInScope;
    case 'deletecollection':
      return isInScope;
    default:
      return true;
  }
}

function writeQuery({ request }: Exchange, options: string): WriteQuery {
  return parseWriteQuery(request.query, request.header('user-agent'), options);
}

function contextOf(exchange: Exchange, query: WriteQuery, subresource: string): WriteContext {
  return {
    user: exchange.user,
    manager: query.manager,
    isDryRun: query.isDryRun,
    subresource,
    warnings: exchange.warnings,
  };
}

function deleteContext(exchange: Exchange, options: DeleteOptions): WriteContext {
  const isDryRun = (options.dryRun ?? []).length > 0;
  return { user: exchange.user, manager: '', isDryRun, subresource: '', warnings: [] };
}

async function decode(
  { request, warnings }: Exchange,
  kind: Kind,
  query: WriteQuery,
): Promise<KubeObject> {
  const decoded = decodeObject(await request.body(), request.header('content-type') ?? '', kind);
  warnings.push(...bodyFieldProblems(decoded.unknownFields, query.fieldValidation, kind));
  kind.setDefaults(decoded.object);
  return decoded.object;
}

async function readDeleteOptions({ request }: Exchange): Promise<DeleteOptions> {
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

function checkName({ metadata }: KubeObject | Scale, name: string): void {
  const { name: given = '' } = metadata;
  if (given === '') {
    metadata.name = name;
  } else if (given !== name) {
    throw badRequest(
      `the name of the object (${given}) does not match the name on the URL (${name})`,
    );
  }
}

function checkUid(kind: Kind, current: KubeObject, given: KubeObject): void {
  const { uid = '' } = given.metadata;
  if (uid === '' || uid === current.metadata.uid) return;
  throw conflict(
    kind,
    given.metadata.name ?? '',
    `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid ?? ''}`,
  );
}

/** An object of a collection that went by itself needs no deletion. */
function ignoreGone(error: unknown): void {
  if (error instanceof Error && 'code' in error && (error.code === 404 || error.code === 409))
    return;
  throw error;
}
