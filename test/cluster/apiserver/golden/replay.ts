/** Plays one recording against our API server, and says where the answers differ. */
import { parse } from 'yaml';
import { findResource } from '../../../../src/cluster/api/kinds/registry.js';
import type { JsonObject, JsonValue } from '../../../../src/cluster/api/object.js';
import type { ClientCertificate } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import type { RecordedStep } from '../recording.js';
import { differences, masked } from './masking.js';
import { isOfOtherGroup, itemsByName, narrowed } from './narrowed.js';
import type { ReceivedAnswer, TestApiServer } from './test-server.js';
import { Translation, isObject } from './translation.js';
import { infoOf, isDryRun } from './shown.js';
import { World, type BaseState } from './world.js';

export type Outcome =
  /** Answered alike, or different at these paths. */
  | { readonly type: 'compared'; readonly different: readonly (readonly [string, string])[] }
  /** About a resource that is not served, and answered so. */
  | { readonly type: 'not served' };

export interface Recording {
  /** As `patch/strategic`. */
  readonly name: string;
  readonly steps: readonly RecordedStep[];
  readonly states: Readonly<Record<string, BaseState>>;
  /** It shows what the server has by itself: the store is left to ours. */
  readonly isOfRunningServer: boolean;
}

const ADMIN = { commonName: 'admin', organizations: ['system:masters'] };
const USERS: Readonly<Record<string, ClientCertificate>> = {
  alice: { commonName: 'alice', organizations: ['devs'] },
};
/** Notes of steps that were sent without a client certificate, with the credentials they had. */
const WITHOUT_CERTIFICATE: ReadonlyMap<string, JsonObject> = new Map<string, JsonObject>([
  ['no credentials', {}],
  ['wrong bearer token', { authorization: 'Bearer wrong' }],
  ['basic', {}],
  ['empty bearer', {}],
]);
const COMPARED_HEADERS = ['content-type', 'warning', 'retry-after', 'location'];
const APPLY = 'application/apply-patch+yaml';

export async function replay(server: TestApiServer, recording: Recording): Promise<Outcome[]> {
  const translation = new Translation();
  const world = new World(server.store, translation, recording.steps, recording.states);
  await world.empty();
  if (recording.isOfRunningServer) {
    await server.listen();
  } else {
    await fillCaches(server, recording.steps);
    await world.begin();
  }
  const outcomes: Outcome[] = [];
  for (const step of recording.steps) {
    if (!recording.isOfRunningServer) await world.before(step);
    const answer = await send(server, step, translation);
    // Values that a dry run allocates may be allocated again, so they are not learnt.
    const known = isDryRun(step) ? new Translation(translation) : translation;
    outcomes.push(compare(step, answer, known, recording.isOfRunningServer));
    if (!recording.isOfRunningServer) await world.correct(step);
  }
  return outcomes;
}

/** They have seen all that was written, and will see all that is written from now on. */
async function fillCaches(server: TestApiServer, steps: readonly RecordedStep[]): Promise<void> {
  const paths = steps.map(infoOf).map(({ group, version, resource }) => {
    return `${group === '' ? '/api' : `/apis/${group}`}/${version}/${resource}`;
  });
  for (const path of new Set(paths)) {
    const request = { method: 'GET', path, query: {}, headers: {}, body: Buffer.alloc(0) };
    await server.send({ ...request, certificate: ADMIN, eventsWanted: 0 }, false);
  }
}

async function send(
  server: TestApiServer,
  step: RecordedStep,
  translation: Translation,
): Promise<ReceivedAnswer> {
  const { request, response, note = '' } = step;
  const { body, user } = request;
  const bytes = Buffer.from(bytesOf(body, translation));
  const own = WITHOUT_CERTIFICATE.get(note);
  const certificate = user === undefined ? ADMIN : USERS[user];
  const headers = Object.fromEntries(
    Object.entries(request.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const query = translation.query(request.query ?? {});
  const isEndless = query['watch'] !== undefined && query['timeoutSeconds'] === undefined;
  const hurries = query['timeoutSeconds'] !== undefined || response.status === 504;
  const sent = {
    method: request.method,
    path: translation.path(request.path),
    query,
    headers: {
      'user-agent': 'recorder',
      accept: 'application/json',
      ...(bytes.length > 0 ? { 'content-type': 'application/json' } : {}),
      ...headers,
      ...own,
    } as Record<string, string>,
    body: bytes,
    certificate: own === undefined ? certificate : undefined,
    eventsWanted:
      response.ended === 'by server' || (!isEndless && response.ended === undefined)
        ? undefined
        : (response.stream?.length ?? 0),
  };
  // In a hurry there is no time to wait for the store.
  if (hurries) await fillCaches(server, [step]);
  return server.send(sent, hurries);
}

/** Ownership that the recording cut out of a body is left to the server, which knows it. */
function bytesOf(body: unknown, translation: Translation): string {
  if (body === undefined) return '';
  if (typeof body === 'string') return expanded(body);
  const translated = translation.value(body as JsonValue);
  const metadata = isObject(translated) ? translated['metadata'] : undefined;
  if (isObject(metadata) && Array.isArray(metadata['managedFields'])) {
    const isCut = metadata['managedFields'].some(
      (entry) => isObject(entry) && entry['time'] !== undefined && entry['fieldsV1'] === undefined,
    );
    if (isCut) delete metadata['managedFields'];
  }
  return JSON.stringify(translated);
}

/** Long bodies are described in the recording. */
function expanded(body: string): string {
  const described = /^<body .* with (?<path>[\w.]+) a string of (?<bytes>\d+) bytes>$/.exec(body);
  if (described?.groups === undefined) return body;
  const { path, bytes } = described.groups;
  const long = { a: 'x'.repeat(Number(bytes)) };
  const isData = path === 'data';
  const metadata = { name: isData ? 'v44' : 'v23', ...(isData ? {} : { annotations: long }) };
  return JSON.stringify({ metadata, ...(isData ? { data: long } : {}) });
}

function compare(
  step: RecordedStep,
  answer: ReceivedAnswer,
  translation: Translation,
  isByName: boolean,
): Outcome {
  const { request, response } = step;
  const { isResource, group, version, resource } = infoOf(step);
  const isServed = !isResource || findResource(group, version, resource) !== undefined;
  const arranged = isByName ? itemsByName : (body: JsonValue): JsonValue => body;
  const recorded = arranged(bodyOf(step, answer.isWatch));
  const body = arranged(asRecorded(step, answer.body));
  const sent = typeof request.body === 'string' ? null : ((request.body ?? null) as JsonValue);
  if (answer.status === response.status) translation.learn(recorded, body, sent);
  if (request.headers?.['Content-Type'] === APPLY && answer.status === 415)
    return { type: 'not served' };
  const keepsOwnership = JSON.stringify(recorded).includes('"fieldsV1"');
  const theirs = {
    status: response.status,
    headers: headersOf(response.headers ?? {}),
    body: narrowed(masked(translation.value(recorded), keepsOwnership), request.path, true),
  };
  const ours = {
    status: answer.status,
    headers: response.headers?.['content-type'] === undefined ? {} : headersOf(answer.headers),
    body: narrowed(masked(body, keepsOwnership), request.path, false),
  };
  const different = differences(ours, theirs);
  const isOther = !isServed || isOfOtherGroup(request.path);
  if (isOther && answer.status === 404 && different.length > 0) return { type: 'not served' };
  return { type: 'compared', different };
}

/** The recorder left some watches before all events had come, and only counted some lists. */
function asRecorded({ response }: RecordedStep, ours: JsonValue): JsonValue {
  if (response.ended === 'by recorder' && Array.isArray(ours))
    return ours.slice(0, response.stream?.length);
  const { body } = response;
  const isCounted = isObject(body) && typeof body['items'] === 'string';
  if (!isCounted || !isObject(ours) || !Array.isArray(ours['items'])) return ours;
  return { ...ours, items: `${ours['items'].length} items` };
}

/** Of a watch, its events. */
function bodyOf({ response }: RecordedStep, isWatch: boolean): JsonValue {
  const isYaml = response.headers?.['content-type'] === 'application/yaml';
  const given = (response.body ?? null) as JsonValue;
  const body = isYaml && typeof given === 'string' ? (parse(given) as JsonValue) : given;
  if (body !== null && body !== '') return body;
  const events = (response.stream ?? []).map(({ event }) => event as JsonValue);
  return isWatch ? events : (events[0] ?? body);
}

function headersOf(headers: Readonly<Record<string, string | readonly string[]>>): JsonObject {
  return Object.fromEntries(
    COMPARED_HEADERS.filter((name) => headers[name] !== undefined).map((name) => [
      name,
      String(headers[name]),
    ]),
  );
}
