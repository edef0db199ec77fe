/** Answers as bytes for HTTP, in the form that the client accepts. */
import type { ListMeta } from '../../../gen/kube-meta-v1.js';
import type { ApiError } from '../../api/status.js';
import { apiVersionOf } from '../../api/object.js';
import { apiError, notAcceptable } from '../../api/status.js';
import type { ClusterEnv } from '../../env.js';
import type { RenderedAnswer } from '../http/rendered.js';
import type { Answer, ApiRequest, ListPage } from '../pipeline/exchange.js';
import { negotiate, type MediaType } from './media-type.js';
import { parseIncludeObject, partialOf, tableOf } from './views.js';
import { WatchFrames } from './watch-frames.js';
import { toYaml } from './yaml.js';

const encoder = new TextEncoder();
const OPEN = encoder.encode('{');
const NEXT = encoder.encode(',{');
const CLOSE = encoder.encode(']}');
/** Pieces of a list are gathered to chunks of about this size. */
const CHUNK_BYTES = 256 << 10;

type Value = Readonly<Record<string, unknown>>;

/** Throws: ApiError 400 or 406, which `renderError` renders. */
export function render(
  answer: Exclude<Answer, { type: 'upgraded' }>,
  request: ApiRequest,
  env: ClusterEnv,
): RenderedAnswer {
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
      return valueAnswer(answer.status, answer.value, media, answer.headers);
    }
    case 'object':
    case 'list':
    case 'watch':
      return renderObjects(answer, request, env);
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

function renderObjects(
  answer: Extract<Answer, { type: 'object' | 'list' | 'watch' }>,
  request: ApiRequest,
  env: ClusterEnv,
): RenderedAnswer {
  const media = negotiate(request.header('accept'));
  const { kind } = answer;
  const table = {
    version: media.version,
    include: parseIncludeObject(request.query.get('includeObject')),
    nowMs: env.wallMs(),
    hasColumns: true,
  };
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
  return renderList(answer.kind, answer.page, media, table);
}

function renderList(
  kind: Extract<Answer, { type: 'list' }>['kind'],
  page: ListPage,
  media: MediaType,
  table: Parameters<typeof tableOf>[3],
): RenderedAnswer {
  const metadata: ListMeta = {
    resourceVersion: page.resourceVersion,
    ...(page.continue === '' ? {} : { continue: page.continue }),
    ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
  };
  if (media.as === 'Table') {
    return valueAnswer(200, tableOf(kind, page.items, metadata, table), media);
  }
  if (media.as === 'PartialObjectMetadataList') {
    const items = page.items.map((stored) => partialOf(stored, media.version));
    const apiVersion = `meta.k8s.io/${media.version}`;
    return valueAnswer(200, { kind: media.as, apiVersion, metadata, items }, media);
  }
  if (media.as !== '') {
    throw wrongView(media.as, `is a list (*${kindText(kind)}List)`);
  }
  const head = {
    kind: `${kind.kind}List`,
    apiVersion: apiVersionOf(kind.group, kind.version),
    metadata,
  };
  if (media.serializer === 'yaml') {
    const items = page.items.map(({ object: { kind: _, apiVersion: __, ...item } }) => item);
    return valueAnswer(200, { ...head, items }, media);
  }
  const opening = `${JSON.stringify(head).slice(0, -1)},"items":[`;
  return { status: 200, headers: headersOf(media), body: listBody(opening, page) };
}

function listBody(opening: string, { items }: ListPage): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let parts: Uint8Array[] = [encoder.encode(opening)];
  let bytes = 0;
  for (const [i, stored] of items.entries()) {
    const json = stored.itemJson;
    parts.push(i === 0 ? OPEN : NEXT, json);
    bytes += json.length + 2;
    if (bytes < CHUNK_BYTES) continue;
    chunks.push(Buffer.concat(parts));
    parts = [];
    bytes = 0;
  }
  parts.push(CLOSE);
  chunks.push(Buffer.concat(parts));
  return chunks;
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
