/** Verbs of the API, the same for all kinds: each reads a request, asks reader or writer, and answers. */
import type { DeleteOptions } from '../../../gen/kube-meta-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../../api/object.js';
import { conflict } from '../../api/status.js';
import type { Answer, Exchange } from '../pipeline/exchange.js';
import { deletedStatus } from './deletion.js';
import { parseListQuery } from './list-options.js';
import { keyOf } from './object-key.js';
import { patched, readPatch } from './patch.js';
import type { Reader } from './reader.js';
import {
  checkName,
  readDeleteOptions,
  readObject,
  writeContext,
  writeQuery,
} from './write-request.js';
import type { WriteContext, Writer } from './writer.js';

/** Deletes of a collection that run at a time. */
const DELETES_AT_ONCE = 10;

export class Verbs {
  private readonly reader: Reader;
  private readonly writer: Writer;

  constructor(reader: Reader, writer: Writer) {
    this.reader = reader;
    this.writer = writer;
  }

  async get({ info, request }: Exchange, kind: Kind): Promise<Answer> {
    const key = keyOf(kind, info.namespace, info.name);
    const version = request.query.get('resourceVersion') ?? '';
    return { type: 'object', status: 200, kind, stored: await this.reader.get(kind, key, version) };
  }

  async listOrWatch({ info, request }: Exchange, kind: Kind): Promise<Answer> {
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

  async create(exchange: Exchange, kind: Kind): Promise<Answer> {
    const query = writeQuery(exchange, 'CreateOptions');
    const object = await readObject(exchange, kind, query);
    const context = writeContext(exchange, query, '');
    const stored = await this.writer.create(kind, exchange.info.namespace, object, context);
    return { type: 'object', status: 201, kind, stored };
  }

  async update(exchange: Exchange, kind: Kind, subresource: string): Promise<Answer> {
    const { namespace, name } = exchange.info;
    const query = writeQuery(exchange, 'UpdateOptions');
    const object = await readObject(exchange, kind, query);
    const context = writeContext(exchange, query, subresource);
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

  async patch(exchange: Exchange, kind: Kind, subresource: string): Promise<Answer> {
    const { namespace, name } = exchange.info;
    const query = writeQuery(exchange, 'PatchOptions');
    const { request, warnings } = exchange;
    const patch = readPatch(request.header('content-type') ?? '', await request.body());
    const context = writeContext(exchange, query, subresource);
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

  async delete(exchange: Exchange, kind: Kind): Promise<Answer> {
    const { namespace, name } = exchange.info;
    const options = await readDeleteOptions(exchange);
    const context = deleteContext(exchange, options);
    const { stored, isGone } = await this.writer.delete(kind, namespace, name, options, context);
    const showsObject =
      !isGone || kind.strategy.graceSeconds !== undefined || kind.strategy.returnsDeleted === true;
    if (showsObject) return { type: 'object', status: 200, kind, stored };
    return { type: 'value', status: 200, value: deletedStatus(kind, stored.object) };
  }

  async deleteCollection(exchange: Exchange, kind: Kind): Promise<Answer> {
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
}

function deleteContext(exchange: Exchange, options: DeleteOptions): WriteContext {
  const isDryRun = (options.dryRun ?? []).length > 0;
  return { user: exchange.user, manager: '', isDryRun, subresource: '', warnings: [] };
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
