import { expect } from 'chai';
import { parse } from 'yaml';
import type { ConfigMap } from '../../../../src/gen/kube-core-v1.js';
import { configMap } from '../../../../src/cluster/api/kinds/core/configmap.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { KubeObject } from '../../../../src/cluster/api/object.js';
import { ApiError, notFound } from '../../../../src/cluster/api/status.js';
import { render, renderError } from '../../../../src/cluster/apiserver/answer/render.js';
import { toYaml } from '../../../../src/cluster/apiserver/answer/yaml.js';
import { isWatchBody } from '../../../../src/cluster/apiserver/http/rendered.js';
import type { WatchItem } from '../../../../src/cluster/apiserver/cache/subscription.js';
import type { Answer, ListPage } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import { StoredObject } from '../../../../src/cluster/apiserver/storage/stored-object.js';
import { textOf } from '../../../support/api-requests.js';
import { VirtualTime } from '../../../support/virtual-time.js';
import { exchangeOf } from '../exchange.js';

const KIND = configMap as unknown as Kind;
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const PARTIAL = 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io';
const PARTIAL_LIST = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
/** As kubectl get sends it. */
const KUBECTL = `${TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json`;

function stored(name: string, data: Record<string, string> = {}): StoredObject {
  const object: ConfigMap = {
    kind: 'ConfigMap',
    apiVersion: 'v1',
    metadata: { name, namespace: 'd', creationTimestamp: '2025-12-31T23:00:00Z' },
    data,
  };
  const bytes = Buffer.from(JSON.stringify(object));
  return StoredObject.fromBytes(KIND, `d/${name}`, 7, bytes);
}

function page(items: readonly StoredObject[], more: Partial<ListPage> = {}): Answer {
  const whole = { items, resourceVersion: '9', continue: '', remaining: undefined, ...more };
  return { type: 'list', kind: KIND, page: whole };
}

interface Rendered {
  readonly status: number;
  readonly type: unknown;
  readonly text: string;
}

async function rendered(
  answer: Answer,
  accept = '',
  query: Readonly<Record<string, string>> = {},
  env = new VirtualTime(),
): Promise<Rendered> {
  const headers = accept === '' ? {} : { accept };
  const { request } = exchangeOf({ path: '/api/v1/namespaces/d/configmaps', headers, query });
  if (answer.type === 'upgraded') throw new Error('nothing upgrades here');
  const result = await render(answer, request, env).catch((error: unknown) => {
    if (error instanceof ApiError) return renderError(error, request);
    throw error;
  });
  return { status: result.status, type: result.headers['content-type'], text: textOf(result) };
}

describe('answers', () => {
  const one: Answer = { type: 'object', status: 200, kind: KIND, stored: stored('a', { x: 'y' }) };
  const object = stored('a', { x: 'y' }).object;

  it('take the form that the client names first and that can be made', async () => {
    const cases: [string, string, string][] = [
      ['', 'application/json', 'ConfigMap'],
      ['*/*', 'application/json', 'ConfigMap'],
      ['application/json', 'application/json', 'ConfigMap'],
      ['application/yaml', 'application/yaml', 'ConfigMap'],
      ['application/vnd.kubernetes.protobuf,application/json', 'application/json', 'ConfigMap'],
      [KUBECTL, 'application/json', 'Table'],
      ['application/json;q=0.1,application/yaml;q=0.9', 'application/yaml', 'ConfigMap'],
      [PARTIAL, 'application/json', 'PartialObjectMetadata'],
      [`${PARTIAL.replace('v1', 'v2')},application/json`, 'application/json', 'ConfigMap'],
    ];
    for (const [accept, type, kind] of cases) {
      const got = await rendered(one, accept);
      expect(got.status, accept).to.equal(200);
      expect(got.type, accept).to.equal(type);
      expect((parse(got.text) as KubeObject).kind, accept).to.equal(kind);
    }
  });

  it('are refused with 406 in a form that cannot be made', async () => {
    for (const accept of ['text/html', PARTIAL_LIST, PARTIAL.replace('v1', 'v2')]) {
      const got = await rendered(one, accept);
      expect(got.status, accept).to.equal(406);
      expect(got.type, accept).to.equal('application/json');
    }
    expect((await rendered(page([]), PARTIAL)).status).to.equal(406);
    const bad = await rendered(one, TABLE, { includeObject: 'Everything' });
    expect(bad.status).to.equal(400);
  });

  it('are the stored bytes with the revision', async () => {
    const { text } = await rendered(one);
    expect(JSON.parse(text)).to.deep.equal(object);
    expect(object.metadata.resourceVersion).to.equal('7');
  });

  it('of 1,000 objects are what JSON.stringify makes of them', async () => {
    const items = Array.from({ length: 10_000 }, (_, i) =>
      stored(`m${i}`, { n: 'ä"\n'.repeat(9) }),
    );
    const { text } = await rendered(page(items, { continue: 'abc', remaining: 3 }));
    const list = {
      kind: 'ConfigMapList',
      apiVersion: 'v1',
      metadata: { resourceVersion: '9', continue: 'abc', remainingItemCount: 3 },
      items: items.map(({ object: { kind: _, apiVersion: __, ...item } }) => item),
    };
    // Compared at once: nobody reads the difference of two texts of this length.
    expect(text === JSON.stringify(JSON.parse(text)), 'no space, no repeated field').to.equal(true);
    const sorted = (value: unknown): string => toYaml({ value });
    expect(sorted(JSON.parse(text)) === sorted(list)).to.equal(true);
  });

  it('of long lists leave turns to others', async () => {
    // A clock on which each look takes a millisecond.
    let nowMs = 0;
    const env = new VirtualTime();
    Object.defineProperty(env, 'monoMs', { value: () => nowMs++ });
    const items = Array.from({ length: 100 }, (_, i) => stored(`m${i}`));
    for (const accept of ['', TABLE, PARTIAL_LIST, 'application/yaml']) {
      let turns = 0;
      let isDone = false;
      const count = (): void => {
        turns++;
        if (!isDone) setImmediate(count);
      };
      setImmediate(count);
      await rendered(page(items), accept, {}, env);
      isDone = true;
      expect(turns, accept).to.be.greaterThan(10);
    }
  });

  it('as tables have rows with metadata, with objects, or with cells alone', async () => {
    const answer = page([stored('a', { x: 'y' }), stored('b')]);
    const table = async (include: string): Promise<Record<string, unknown>[]> => {
      const query: Record<string, string> = include === '' ? {} : { includeObject: include };
      const { text } = await rendered(answer, TABLE, query);
      const value = JSON.parse(text) as Record<string, unknown> & {
        rows: Record<string, unknown>[];
      };
      expect(value).to.include({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
      expect(value['metadata']).to.deep.equal({ resourceVersion: '9' });
      expect(value['columnDefinitions']).to.deep.equal(KIND.columns);
      return value.rows;
    };
    const [first] = await table('');
    expect(first?.['cells']).to.deep.equal(['a', 1, '60m']);
    expect(first?.['object']).to.deep.equal({
      kind: 'PartialObjectMetadata',
      apiVersion: 'meta.k8s.io/v1',
      metadata: object.metadata,
    });
    expect((await table('Object'))[0]?.['object']).to.deep.equal(object);
    expect((await table('None')).map(({ object: own }) => own)).to.deep.equal([null, null]);
  });

  it('as lists of metadata hold nothing else', async () => {
    const { text } = await rendered(page([stored('a', { x: 'y' })]), PARTIAL_LIST);
    expect(JSON.parse(text)).to.deep.equal({
      kind: 'PartialObjectMetadataList',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { resourceVersion: '9' },
      items: [
        { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
      ],
    });
  });

  it('as YAML are the same values in order', async () => {
    for (const items of [[], [stored('a', { x: 'y' }), stored('b', { text: 'two\nlines\n' })]]) {
      for (const as of ['', TABLE, PARTIAL_LIST]) {
        const json = await rendered(page(items), as === '' ? 'application/json' : as);
        const accept = as === '' ? 'application/yaml' : as.replace('/json', '/yaml');
        const { text, type } = await rendered(page(items), accept);
        expect(type).to.equal('application/yaml');
        expect(text).to.equal(toYaml(JSON.parse(json.text) as object));
        expect(parse(text)).to.deep.equal(JSON.parse(json.text));
      }
    }
  });

  it('that are errors come in the form of the client, JSON if it takes none', () => {
    const error = notFound(KIND, 'a');
    const of = (accept: string): Rendered => {
      const { request } = exchangeOf({
        path: '/api/v1/namespaces/d/configmaps/a',
        headers: { accept },
      });
      const answer = renderError(error, request);
      return { status: answer.status, type: answer.headers['content-type'], text: textOf(answer) };
    };
    for (const accept of ['application/json', 'text/html', TABLE]) {
      expect(of(accept).type).to.equal('application/json');
      expect(JSON.parse(of(accept).text)).to.deep.equal(error.status);
    }
    expect(parse(of('application/yaml').text)).to.deep.equal(error.status);
    expect(of('').status).to.equal(404);
  });
});

describe('watches', () => {
  const lines = async (items: readonly WatchItem[], accept: string): Promise<unknown[]> => {
    const subscription = {
      start: (onItems: (batch: readonly WatchItem[]) => void) => onItems(items),
      pause: () => undefined,
      resume: () => undefined,
      close: () => undefined,
    };
    const { request } = exchangeOf({ path: '/api/v1/configmaps', headers: { accept } });
    const watch: Answer = { type: 'watch', kind: KIND, subscription };
    const { body } = await render(watch, request, new VirtualTime());
    if (!isWatchBody(body)) throw new Error('this is no watch');
    const texts: string[] = [];
    body.start(
      (chunks) => {
        texts.push(Buffer.concat(chunks).toString());
        return true;
      },
      () => undefined,
    );
    const whole = texts.join('');
    expect(whole.endsWith('\n')).to.equal(true);
    return whole
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
  };
  const items: WatchItem[] = [
    { type: 'ADDED', stored: stored('a') },
    { type: 'MODIFIED', stored: stored('b') },
    { type: 'BOOKMARK', revision: 12, isInitialEnd: true },
    { type: 'DELETED', stored: stored('b').at(13) },
    { type: 'EXPIRED', message: 'too old resource version: 1 (5)' },
  ];
  const annotations = { 'k8s.io/initial-events-end': 'true' };
  const error = {
    type: 'ERROR',
    object: {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'too old resource version: 1 (5)',
      reason: 'Expired',
      code: 410,
    },
  };

  it('show objects, bookmarks and their end', async () => {
    const metadata = { resourceVersion: '12', annotations };
    expect(await lines(items, '')).to.deep.equal([
      { type: 'ADDED', object: stored('a').object },
      { type: 'MODIFIED', object: stored('b').object },
      { type: 'BOOKMARK', object: { kind: 'ConfigMap', apiVersion: 'v1', metadata } },
      { type: 'DELETED', object: stored('b').at(13).object },
      error,
    ]);
  });

  it('of tables define their columns once', async () => {
    const shown = (await lines(items, TABLE)) as { object: Record<string, unknown> }[];
    const definitions = shown.slice(0, 4).map(({ object }) => object['columnDefinitions']);
    expect(definitions).to.deep.equal([KIND.columns, null, null, null]);
    expect(shown[3]?.object['metadata']).to.deep.equal({ resourceVersion: '13' });
    expect(shown[4]).to.deep.equal(error);
  });

  it('of metadata hold nothing else', async () => {
    const [first, , bookmark] = await lines(items, PARTIAL);
    const type = { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' };
    const { metadata } = stored('a').object;
    expect(first).to.deep.equal({ type: 'ADDED', object: { ...type, metadata } });
    const at = { ...type, metadata: { resourceVersion: '12', annotations } };
    expect(bookmark).to.deep.equal({ type: 'BOOKMARK', object: at });
  });

  it('are lines of JSON and nothing else', async () => {
    const refused = lines(items, 'application/yaml').catch((failure: unknown) => failure);
    expect(await refused)
      .to.be.instanceOf(ApiError)
      .and.include({ code: 406 });
  });
});
