/**
 * /openapi/v3: an index, and a document for each group and version. Documents are named by the hash of
 * their bytes, so that clients keep them on disk and ask for the index only.
 */
import { createHash } from 'node:crypto';
import { FieldWriter } from '../../../base/bytes/field-writer.js';
import { sleep, type ClusterEnv } from '../../env.js';
import type { DiscoveredKind } from '../discovery/discovered-kind.js';
import { ServedGroups } from '../discovery/documents.js';
import { jsonAnswer, TEXT_TYPE } from '../discovery/media.js';
import { KUBERNETES_VERSION } from '../discovery/version.js';
import type { Answer, ApiRequest, Step } from '../pipeline/exchange.js';
import { openapiDocument } from './document.js';

const ROOT = '/openapi/v3';
const OLD_ROOT = '/openapi/v2';
const OLD_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const YEAR_MS = 365 * 24 * 3600 * 1000;

interface Document {
  readonly bytes: Uint8Array;
  readonly hash: string;
}

export function openapiStep(env: ClusterEnv, kinds: readonly DiscoveredKind[]): Step {
  let made: Promise<ReadonlyMap<string, Document>> | undefined;
  return async ({ info, request }) => {
    const path = info.path.replace(/\/$/, '');
    if (path === OLD_ROOT && request.method === 'GET') return oldDocument(request);
    const isBelow = path === ROOT || path.startsWith(`${ROOT}/`);
    if (info.isResource || !isBelow || request.method !== 'GET') return undefined;
    made ??= makeDocuments(env, kinds);
    const documents = await made;
    if (path === ROOT) return index(documents);
    const name = path.slice(ROOT.length + 1);
    const document = documents.get(name);
    return document === undefined ? undefined : documentAnswer(env, request, name, document);
  };
}

async function makeDocuments(
  env: ClusterEnv,
  kinds: readonly DiscoveredKind[],
): Promise<ReadonlyMap<string, Document>> {
  const documents = new Map<string, Document>();
  const pause = (): Promise<void> => sleep(env, 0);
  for (const [group, versions] of new ServedGroups(kinds).versions) {
    for (const version of versions) {
      const own = kinds.filter((kind) => kind.group === group && kind.version === version);
      const document = await openapiDocument(group, version, own, pause);
      const bytes = Buffer.from(JSON.stringify(document));
      await pause();
      const hash = createHash('sha512').update(bytes).digest('hex').toUpperCase();
      documents.set(group === '' ? `api/${version}` : `apis/${group}/${version}`, { bytes, hash });
    }
  }
  return documents;
}

function index(documents: ReadonlyMap<string, Document>): Answer {
  const paths = Object.fromEntries(
    [...documents].map(([name, { hash }]) => [
      name,
      { serverRelativeURL: `${ROOT}/${name}?hash=${hash}` },
    ]),
  );
  // The client's Accept counts for nothing: the real server sets no type, and its library guesses.
  return { type: 'text', status: 200, contentType: TEXT_TYPE, text: JSON.stringify({ paths }) };
}

/**
 * A document of OpenAPI v2 that defines nothing. Clients turn to it for what v3 does not name:
 * kubectl for `kind: List` and for kinds that are not served, and then checks less.
 */
function oldDocument(request: ApiRequest): Answer {
  const info = { title: 'Kubernetes', version: KUBERNETES_VERSION };
  const accept = request.header('accept') ?? '';
  if (!accept.includes('com.github.proto-openapi.spec.v2'))
    return jsonAnswer(request, { swagger: '2.0', info, paths: {} });
  // Fields 1 and 2 of a Document of github.com/google/gnostic: its version, title and version.
  const about = new FieldWriter();
  about.bytes(1, Buffer.from(info.title));
  about.bytes(2, Buffer.from(info.version));
  const document = new FieldWriter();
  document.bytes(1, Buffer.from('2.0'));
  document.bytes(2, about.finish());
  return { type: 'text', status: 200, contentType: OLD_PROTOBUF, text: document.finish() };
}

function documentAnswer(
  env: ClusterEnv,
  request: ApiRequest,
  name: string,
  { bytes, hash }: Document,
): Answer {
  const asked = request.query.get('hash') ?? '';
  const etag = `"${hash}"`;
  if (asked !== '' && asked !== hash)
    return {
      type: 'text',
      status: 301,
      contentType: TEXT_TYPE,
      text: '',
      headers: { location: `${ROOT}/${name}?hash=${hash}` },
    };
  const headers = {
    etag,
    vary: 'Accept',
    ...(asked === ''
      ? {}
      : {
          'cache-control': 'public, immutable',
          expires: new Date(env.wallMs() + YEAR_MS).toUTCString(),
        }),
  };
  const answer = jsonAnswer(request, {}, 'application/json', headers);
  const isKnown = request.header('if-none-match') === etag;
  return { ...answer, status: isKnown ? 304 : 200, text: isKnown ? '' : bytes } as Answer;
}
