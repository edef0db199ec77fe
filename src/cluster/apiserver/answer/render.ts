/** Answers as bytes for HTTP, in the form that the client accepts. */
import type { ListMeta } from '../../../gen/kube-meta-v1.js';
import type { ApiError } from '../../api/status.js';
import { apiVersionOf, type KubeObject } from '../../api/object.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { StoredObject } from '../storage/stored-object.js';
import { apiError, notAcceptable } from '../../api/status.js';
import type { ClusterEnv } from '../../env.js';
import type { RenderedAnswer } from '../http/rendered.js';
import type { Answer, ApiRequest, ListPage } from '../pipeline/exchange.js';
import { negotiate, type MediaType } from './media-type.js';
import { parseIncludeObject, partialOf, rowOf, tableOf, type TableOptions } from './views.js';
import { listBody, type ListForm } from './list-body.js';
import { WatchFrames } from './watch-frames.js';
import { toYaml } from './yaml.js';

const encoder = new TextEncoder();
const OPEN = encoder.encode('{');

type Value = Readonly<Record<string, unknown>>;

/** Rejects: ApiError 400 or 406, which `renderError` renders. */
export async function render(
  answer: Exclude<Answer, { type: 'upgraded' }>,
  request: ApiRequest,
  env: ClusterEnv,
): Promise<RenderedAnswer> {
  switch (answer.type) {
    case 'text':
      return {
        status: answer.status,
        headers: { 'content-type': answer.contentType, ...answer.headers },
        body: typeof answer.text === 'string' ? encoder.encode(answer.text) : answer.text,
      };
    case 'stream':
      return {
        status: 200,
        headers: { 'content-type': answer.contentType },
        body: answer.readable,
      };
    case 'value': {
      const media = negotiate(request.header('accept'));
      if (media.as === 'Table' && answer.view !== undefined) {
        const object = answer.value as KubeObject;
        const { resourceVersion = '' } = object.metadata;
        const options = tableOptions(media, request, env);
        const table = tableOf(answer.view, [{ object }], { resourceVersion }, options);
        return valueAnswer(answer.status, table, media);
      }
      return valueAnswer(answer.status, answer.value, media, answer.headers);
    }
    case 'object':
    case 'list':
    case 'watch':
      return await renderObjects(answer, request, env);
  }
}

/** An error in the form that the client accepts, JSON if it accepts none. */
export function renderError(error: ApiError, request: ApiRequest): RenderedAnswer {
  let media: MediaType = { serializer: 'json', as: '', version: '' };
  try {
    media = negotiate(request.header('accept'));
  } catch {
    // The error itself may be that nothing is acceptable.
  }
  const retry = error.status.details?.retryAfterSeconds;
  const headers = retry === undefined ? {} : { 'retry-after': String(retry) };
  return valueAnswer(error.code, error.status, media, headers);
}

function tableOptions(media: MediaType, request: ApiRequest, env: ClusterEnv): TableOptions {
  return {
    version: media.version,
    include: parseIncludeObject(request.query.get('includeObject')),
    nowMs: env.wallMs(),
    hasColumns: true,
  };
}

function renderObjects(
  answer: Extract<Answer, { type: 'object' | 'list' | 'watch' }>,
  request: ApiRequest,
  env: ClusterEnv,
): Promise<RenderedAnswer> | RenderedAnswer {
  const media = negotiate(request.header('accept'));
  const { kind } = answer;
  const table = tableOptions(media, request, env);
  if (answer.type === 'watch') {
    if (media.serializer !== 'json') throw notAcceptable(['application/json;stream=watch']);
    const frames = new WatchFrames(answer.subscription, kind, media, table, env);
    return { status: 200, headers: headersOf(media), body: frames };
  }
  if (answer.type === 'object') {
    const { stored, status } = answer;
    if (media.as === 'Table') {
      const { resourceVersion = '' } = stored.object.metadata;
      const value = tableOf(kind, [stored], { resourceVersion }, table);
      return valueAnswer(status, value, media);
    }
    if (media.as === 'PartialObjectMetadata') {
      return valueAnswer(status, partialOf(stored, media.version), media);
    }
    if (media.as !== '') throw wrongView(media.as, `is not a list (*${kindText(kind)})`);
    if (media.serializer === 'json') {
      return { status, headers: headersOf(media), body: stored.json };
    }
    return valueAnswer(status, stored.object, media);
  }
  return renderList(answer.kind, answer.page, media, table, env);
}

async function renderList(
  kind: Kind,
  page: ListPage,
  media: MediaType,
  table: TableOptions,
  env: ClusterEnv,
): Promise<RenderedAnswer> {
  const body = await listBody(page.items, listForm(kind, page, media, table), env);
  return { status: 200, headers: headersOf(media), body };
}

function listForm(kind: Kind, page: ListPage, media: MediaType, table: TableOptions): ListForm {
  const metadata: ListMeta = {
    resourceVersion: page.resourceVersion,
    ...(page.continue === '' ? {} : { continue: page.continue }),
    ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
  };
  const isYaml = media.serializer === 'yaml';
  if (media.as === 'Table') {
    const { rows: _, ...head } = tableOf(kind, [], metadata, table);
    return valuesForm(head, 'rows', (stored) => rowOf(kind, stored, table), isYaml);
  }
  if (media.as === 'PartialObjectMetadataList') {
    const head = { kind: media.as, apiVersion: `meta.k8s.io/${media.version}`, metadata };
    return valuesForm(head, 'items', (stored) => partialOf(stored, media.version), isYaml);
  }
  if (media.as !== '') throw wrongView(media.as, `is a list (*${kindText(kind)}List)`);
  const apiVersion = apiVersionOf(kind.group, kind.version);
  const head = { kind: `${kind.kind}List`, apiVersion, metadata };
  if (isYaml) return valuesForm(head, 'items', withoutType, true);
  return {
    opening: openingOf(head, 'items'),
    item: ({ itemJson }) => [OPEN, itemJson],
    separator: ',',
    closing: ']}',
  };
}

/** A list whose items are values of the field `field`, after those of `head`. */
function valuesForm(
  head: Value,
  field: string,
  valueOf: (stored: StoredObject) => object,
  isYaml: boolean,
): ListForm {
  if (isYaml) return yamlForm(head, field, valueOf);
  return {
    opening: openingOf(head, field),
    item: (stored) => JSON.stringify(valueOf(stored)),
    separator: ',',
    closing: ']}\n',
  };
}

function openingOf(head: Value, field: string): string {
  return `${JSON.stringify(head).slice(0, -1)},${JSON.stringify(field)}:[`;
}

/** As `toYaml` writes the whole list: fields in order, the items among them. */
function yamlForm(head: Value, field: string, valueOf: (stored: StoredObject) => object): ListForm {
  const part = (isBefore: boolean): string => {
    const fields = Object.entries(head).filter(([name]) => name < field === isBefore);
    return fields.length === 0 ? '' : toYaml(Object.fromEntries(fields));
  };
  const title = `${field}:\n`;
  let isEmpty = true;
  return {
    opening: part(true),
    item: (stored) => {
      const text = toYaml({ [field]: [valueOf(stored)] });
      const isFirst = isEmpty;
      isEmpty = false;
      return isFirst ? text : text.slice(title.length);
    },
    separator: '',
    get closing() {
      return `${isEmpty ? `${field}: []\n` : ''}${part(false)}`;
    },
  };
}

function withoutType({ object }: StoredObject): object {
  const { kind: _, apiVersion: __, ...item } = object;
  return item;
}

function valueAnswer(
  status: number,
  value: Value | object,
  media: MediaType,
  headers: Readonly<Record<string, string>> = {},
): RenderedAnswer {
  const text = media.serializer === 'yaml' ? toYaml(value) : `${JSON.stringify(value)}\n`;
  return { status, headers: { ...headersOf(media), ...headers }, body: encoder.encode(text) };
}

function headersOf(media: MediaType): Record<string, string> {
  return {
    'content-type': `application/${media.serializer}`,
    'cache-control': 'no-cache, private',
  };
}

function wrongView(view: string, what: string): ApiError {
  return apiError(406, 'NotAcceptable', `you requested ${view}, but the requested object ${what}`);
}

function kindText({ group, kind }: { readonly group: string; readonly kind: string }): string {
  const [first = ''] = group.split('.');
  return `${first === '' ? 'core' : first}.${kind}`;
}
