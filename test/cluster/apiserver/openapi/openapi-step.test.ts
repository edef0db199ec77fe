import { expect } from 'chai';
import { KINDS } from '../../../../src/cluster/api/kinds/registry.js';
import { messageOfKind } from '../../../../src/cluster/api/schema/table.js';
import { REVIEW_KINDS } from '../../../../src/cluster/apiserver/auth/reviews.js';
import { openapiStep } from '../../../../src/cluster/apiserver/openapi/openapi-step.js';
import type { Answer } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { exchangeOf, run } from '../exchange.js';

type Text = Extract<Answer, { type: 'text' }>;
type Json = Readonly<Record<string, unknown>>;

interface Operation extends Json {
  readonly parameters?: readonly { readonly name: string }[];
  readonly requestBody?: { readonly content: Json };
  readonly 'x-kubernetes-group-version-kind': Json;
}

interface Schema extends Json {
  readonly properties: Readonly<Record<string, Json>>;
  readonly required?: readonly string[];
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

describe('cluster/apiserver/openapi', () => {
  const env = { ...systemClusterEnv(), wallMs: () => Date.UTC(2026, 0, 1) };
  const step = openapiStep(env, [...KINDS, ...REVIEW_KINDS]);

  async function ask(
    path: string,
    query: Record<string, string> = {},
    headers: Record<string, string> = {},
  ): Promise<Text> {
    const answer = await step(exchangeOf({ path, query, headers }));
    if (answer?.type !== 'text') throw new Error(`no text at ${path}`);
    return answer;
  }

  async function index(): Promise<Readonly<Record<string, { serverRelativeURL: string }>>> {
    const { text } = await ask('/openapi/v3');
    return (JSON.parse(String(text)) as { paths: Record<string, { serverRelativeURL: string }> })
      .paths;
  }

  async function document(name: string): Promise<Document> {
    return JSON.parse(Buffer.from((await ask(`/openapi/v3/${name}`)).text).toString()) as Document;
  }

  it('has a document of the old version that defines nothing, as JSON and as protobuf', async () => {
    const json = await ask('/openapi/v2');
    expect(JSON.parse(String(json.text))).to.deep.equal({
      swagger: '2.0',
      info: { title: 'Kubernetes', version: 'v1.36.3' },
      paths: {},
    });
    const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
    const { contentType, text } = await ask('/openapi/v2', {}, { accept });
    expect(contentType).to.equal('application/com.github.proto-openapi.spec.v2.v1.0+protobuf');
    expect(Buffer.from(text).toString('latin1')).to.equal(
      '\n\x032.0\x12\x15\n\nKubernetes\x12\x07v1.36.3',
    );
  });

  it('lists a document for each group and version, named by its hash', async () => {
    const answer = await ask('/openapi/v3', {}, { accept: 'application/json, */*' });
    expect(answer.contentType).to.equal('text/plain; charset=utf-8');
    const paths = await index();
    expect(Object.keys(paths)).to.deep.equal([
      'api/v1',
      'apis/apps/v1',
      'apis/authentication.k8s.io/v1',
      'apis/authorization.k8s.io/v1',
      'apis/coordination.k8s.io/v1',
      'apis/discovery.k8s.io/v1',
    ]);
    for (const [name, { serverRelativeURL }] of Object.entries(paths)) {
      const [path = '', hash = ''] = serverRelativeURL.split('?hash=');
      expect(path).to.equal(`/openapi/v3/${name}`);
      const found = await ask(path, { hash }, { accept: 'application/json' });
      expect(found.status).to.equal(200);
      expect(found.contentType).to.equal('application/json');
      expect(found.headers).to.deep.equal({
        etag: `"${hash}"`,
        vary: 'Accept',
        'cache-control': 'public, immutable',
        expires: 'Fri, 01 Jan 2027 00:00:00 GMT',
      });
    }
  });

  it('sends a document that the client has not again, and an old name to the new one', async () => {
    const { serverRelativeURL } = (await index())['apis/apps/v1'] ?? { serverRelativeURL: '' };
    const hash = serverRelativeURL.split('?hash=')[1] ?? '';
    const path = '/openapi/v3/apis/apps/v1';
    const known = await ask(path, { hash }, { 'if-none-match': `"${hash}"` });
    expect(known).to.include({ status: 304, text: '' });
    const moved = await ask(path, { hash: 'OLD' });
    expect(moved.status).to.equal(301);
    expect(moved.headers).to.deep.equal({ location: serverRelativeURL });
    expect((await ask(path)).headers).not.to.have.property('expires');
  });

  it('speaks of version 3 as JSON alone', async () => {
    const protobuf = 'application/com.github.proto-openapi.spec.v3@v1.0+protobuf';
    const asked = { path: '/openapi/v3/api/v1', headers: { accept: protobuf } };
    expect((await run(step, exchangeOf(asked))).code).to.equal(406);
    for (const path of ['/openapi/v2/api', '/openapi/v3/apis/nope/v1', '/openapi/v33'])
      expect((await run(step, exchangeOf({ path }))).code, path).to.equal(0);
  });

  it('refers to nothing that is not there', async () => {
    for (const name of Object.keys(await index())) {
      const made = await document(name);
      const text = JSON.stringify(made);
      const refs = new Set(
        [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, r]) => r),
      );
      for (const ref of refs) expect(made.components.schemas, name).to.have.property(ref ?? '');
      expect(text).not.to.contain('"#/components/schemas/"');
    }
  });

  it('tells for each kind how it is patched and validated', async () => {
    for (const kind of KINDS) {
      const { group, version, resource, isNamespaced } = kind;
      const root = group === '' ? `api/${version}` : `apis/${group}/${version}`;
      const made = await document(root);
      const inside = isNamespaced ? '/namespaces/{namespace}' : '';
      const item = made.paths[`/${root}${inside}/${resource}/{name}`];
      const gvk = { group, version, kind: kind.kind };
      for (const method of ['get', 'put', 'patch', 'delete'])
        expect(item?.[method]?.['x-kubernetes-group-version-kind'], resource).to.deep.equal(gvk);
      const collection = made.paths[`/${root}${inside}/${resource}`];
      for (const operation of [item?.['patch'], item?.['put'], collection?.['post']])
        expect(operation?.parameters?.map(({ name }) => name)).to.include('fieldValidation');
      expect(item?.['patch']?.requestBody?.content).to.have.keys(
        'application/json-patch+json',
        'application/merge-patch+json',
        'application/strategic-merge-patch+json',
      );
      expect(collection).to.have.keys(
        ...['get', 'post', 'parameters'],
        ...(kind.verbs.includes('deletecollection') ? ['delete'] : []),
      );
      const name = messageOfKind(group, version, kind.kind) ?? '';
      const schema = Object.entries(made.components.schemas).find(([id]) =>
        id.endsWith(`.${name}`),
      );
      expect(schema?.[1]['x-kubernetes-group-version-kind']).to.deep.equal([gvk]);
    }
  });

  it('has paths for subresources with the kinds they take', async () => {
    const core = await document('api/v1');
    const pod = '/api/v1/namespaces/{namespace}/pods/{name}';
    expect(core.paths[`${pod}/log`]).to.have.keys('get', 'parameters');
    expect(core.paths[`${pod}/exec`]).to.have.keys('get', 'post', 'parameters');
    expect(core.paths[`${pod}/binding`]?.['post']).to.deep.include({
      'x-kubernetes-group-version-kind': { group: '', version: 'v1', kind: 'Binding' },
    });
    expect(core.paths[`${pod}/status`]).to.have.keys('get', 'put', 'patch', 'parameters');
    const apps = await document('apis/apps/v1');
    const scale = apps.paths['/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale'];
    expect(scale?.['put']?.['x-kubernetes-group-version-kind']).to.deep.equal({
      group: 'autoscaling',
      version: 'v1',
      kind: 'Scale',
    });
  });

  it('describes fields with types, defaults, enums and how they are merged', async () => {
    const { schemas } = (await document('apis/apps/v1')).components;
    const of = (name: string): Schema => {
      const schema = schemas[`io.k8s.api.${name}`];
      if (schema === undefined) throw new Error(`no schema ${name}`);
      return schema;
    };
    const ref = (name: string): Json => ({ allOf: [{ $ref: `#/components/schemas/${name}` }] });
    expect(of('core.v1.ContainerPort')).to.deep.equal({
      type: 'object',
      required: ['containerPort'],
      properties: {
        containerPort: { type: 'integer', format: 'int32', default: 0 },
        hostIP: { type: 'string' },
        hostPort: { type: 'integer', format: 'int32' },
        name: { type: 'string' },
        protocol: { type: 'string', default: 'TCP', enum: ['SCTP', 'TCP', 'UDP'] },
      },
    });
    expect(of('core.v1.PodSpec').properties['containers']).to.deep.equal({
      type: 'array',
      items: { default: {}, ...ref('io.k8s.api.core.v1.Container') },
      'x-kubernetes-list-map-keys': ['name'],
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-patch-merge-key': 'name',
      'x-kubernetes-patch-strategy': 'merge',
    });
    const spec = of('apps.v1.DeploymentSpec');
    expect(spec.required).to.deep.equal(['selector', 'template']);
    expect(spec.properties['strategy']).to.deep.equal({
      default: {},
      ...ref('io.k8s.api.apps.v1.DeploymentStrategy'),
      'x-kubernetes-patch-strategy': 'retainKeys',
    });
    expect(of('core.v1.EphemeralContainer').required).to.deep.equal(['name']);
    expect(of('core.v1.ResourceRequirements').properties['limits']).to.deep.equal({
      type: 'object',
      additionalProperties: {
        $ref: '#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity',
      },
    });
    const selector = schemas['io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector'];
    expect(selector).to.include({ 'x-kubernetes-map-type': 'atomic' });
  });
});
