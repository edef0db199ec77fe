import { expect } from 'chai';
import { ApiError, notFound } from '../../../src/cluster/api/status.js';
import { TransportError } from '../../../src/cluster/client/client.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import { LEASES, NODES, PODS } from '../../../src/cluster/client/resource-types.js';
import type { ApiAnswer, ApiCall, Transport } from '../../../src/cluster/client/transport.js';
import { podOf } from './pods.js';

/** Notes calls as `METHOD path?query type body`, and answers all of them alike. */
class Recorder implements Transport {
  readonly calls: string[] = [];
  answer: ApiAnswer = { code: 200, body: {} };
  isClosed = false;

  call({ method, path, query, contentType, body }: ApiCall): Promise<ApiAnswer> {
    const parameters = query === undefined || query.size === 0 ? '' : `?${query.toString()}`;
    const parts = [`${method} ${path}${parameters}`, contentType, JSON.stringify(body)];
    this.calls.push(parts.filter((part) => part !== undefined).join(' '));
    return Promise.resolve(this.answer);
  }

  watch(call: ApiCall): Promise<ApiAnswer> {
    return this.call(call);
  }

  close(): void {
    this.isClosed = true;
  }
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  return 'none';
}

describe('REST client', () => {
  it('asks by path, query and body as the API wants it', async () => {
    const recorder = new Recorder();
    const client = restClient(recorder);
    const pods = client.resource(PODS, 'default');
    const pod = { ...podOf('a'), metadata: { name: 'a' } };
    const body = JSON.stringify(pod);
    await pods.get('a');
    await client.resource(NODES).get('n1');
    await client.resource(LEASES, 'kube-system').get('x');
    await pods.create(pod, { fieldManager: 'me', dryRun: true });
    await pods.update(pod);
    await pods.updateStatus(pod);
    await pods.createSubresource('a', 'binding', { target: {} });
    await pods.getSubresource('a', 'scale');
    await pods.updateSubresource('a', 'scale', { spec: {} });
    expect(recorder.calls).to.deep.equal([
      'GET /api/v1/namespaces/default/pods/a',
      'GET /api/v1/nodes/n1',
      'GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x',
      `POST /api/v1/namespaces/default/pods?fieldManager=me&dryRun=All ${body}`,
      `PUT /api/v1/namespaces/default/pods/a ${body}`,
      `PUT /api/v1/namespaces/default/pods/a/status ${body}`,
      'POST /api/v1/namespaces/default/pods/a/binding {"target":{}}',
      'GET /api/v1/namespaces/default/pods/a/scale',
      'PUT /api/v1/namespaces/default/pods/a/scale {"spec":{}}',
    ]);
    client.close();
    expect(recorder.isClosed).to.be.true;
  });

  it('names the kind of a patch', async () => {
    const recorder = new Recorder();
    const pods = restClient(recorder).resource(PODS, 'default');
    await pods.patch('a', 'json', [{ op: 'remove', path: '/x' }]);
    await pods.patch('a', 'merge', { a: null });
    await pods.patchStatus('a', 'strategic', {});
    await pods.patch('a', 'apply', {}, { fieldManager: 'me', force: true });
    const path = 'PATCH /api/v1/namespaces/default/pods/a';
    expect(recorder.calls).to.deep.equal([
      `${path} application/json-patch+json [{"op":"remove","path":"/x"}]`,
      `${path} application/merge-patch+json {"a":null}`,
      `${path}/status application/strategic-merge-patch+json {}`,
      `${path}?fieldManager=me&force=true application/apply-patch+yaml {}`,
    ]);
  });

  it('deletes with options in the body, and collections by selector', async () => {
    const recorder = new Recorder();
    const pods = restClient(recorder).resource(PODS, 'default');
    const preconditions = { uid: 'u' };
    const options = {
      gracePeriodSeconds: 0,
      propagationPolicy: 'Foreground',
      preconditions,
    } as const;
    await pods.delete('a', options);
    await pods.deleteCollection({ labelSelector: 'a=b', fieldSelector: 'spec.nodeName=' });
    const kind = '"kind":"DeleteOptions","apiVersion":"v1"';
    const rest =
      '"gracePeriodSeconds":0,"propagationPolicy":"Foreground","preconditions":{"uid":"u"}';
    const path = 'DELETE /api/v1/namespaces/default/pods';
    expect(recorder.calls).to.deep.equal([
      `${path}/a {${kind},${rest}}`,
      `${path}?labelSelector=a%3Db&fieldSelector=spec.nodeName%3D {${kind}}`,
    ]);
  });

  it('gives the items of a list their kind, and leaves those that have one as they are', async () => {
    const recorder = new Recorder();
    const whole = Object.freeze(podOf('b'));
    const items = [{ metadata: { name: 'a' } }, whole];
    recorder.answer = { code: 200, body: { kind: 'PodList', metadata: {}, items } };
    const list = await restClient(recorder).resource(PODS).list({ limit: 2, resourceVersion: '0' });
    expect(list.items[0]).to.deep.equal({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' } });
    expect(list.items[1]).to.equal(whole);
    expect(recorder.calls).to.deep.equal(['GET /api/v1/pods?resourceVersion=0&limit=2']);
  });

  it('escapes what could leave its place in the path', async () => {
    const recorder = new Recorder();
    const pods = restClient(recorder).resource(PODS, 'a/b');
    await pods.get('..');
    await pods.get('x?y#z%');
    expect(recorder.calls).to.deep.equal([
      'GET /api/v1/namespaces/a%2Fb/pods/%2E%2E',
      'GET /api/v1/namespaces/a%2Fb/pods/x%3Fy%23z%25',
    ]);
  });

  it('refuses to mix up namespaces, and objects without a name', () => {
    const client = restClient(new Recorder());
    expect(() => client.resource(NODES, 'default')).to.throw('nodes are in no namespace');
    expect(() => client.resource(PODS).get('a')).to.throw('needs a namespace');
    expect(() => client.resource(PODS).create(podOf('a'))).to.throw('needs a namespace');
    expect(() => client.resource(PODS, 'default').get('')).to.throw('has a name');
  });

  it('makes errors of answers, and passes on that there was none', async () => {
    const recorder = new Recorder();
    const client = restClient(recorder);
    const pods = client.resource(PODS, 'default');
    const { status } = notFound({ group: '', resource: 'pods' }, 'a');
    recorder.answer = { code: 404, body: status };
    const error = await failureOf(pods.get('a'));
    expect(error).to.be.instanceOf(ApiError);
    expect((error as ApiError).status).to.deep.equal(status);
    expect(await failureOf(pods.watch()[Symbol.asyncIterator]().next())).to.deep.include({
      status,
    });
    recorder.answer = { code: 503, body: '' };
    expect(await failureOf(client.getPath('/version'))).to.include({
      code: 503,
      message: 'the server answered with code 503',
    });
    const lost = new TransportError('connection refused');
    recorder.call = () => Promise.reject(lost);
    expect(await failureOf(pods.list())).to.equal(lost);
  });
});
