import { expect } from 'chai';
import { readFileSync, readdirSync } from 'node:fs';
import {
  isLongRunning,
  requestInfo,
} from '../../../../src/cluster/apiserver/pipeline/request-info.js';

function read(request: string): string {
  const [method = '', url = ''] = request.split(' ');
  const [path = '', query = ''] = url.split('?');
  const info = requestInfo(method, path, new URLSearchParams(query));
  if (!info.isResource) return `${info.verb} ${info.path}`;
  const { verb, group, version, namespace, resource, subresource, name } = info;
  return [verb, `${group}/${version}`, namespace, resource, name, subresource].join(' ').trimEnd();
}

/** Request -> what is asked for. `-` between two spaces stands for nothing. */
const CASES: readonly [string, string][] = [
  ['GET /', 'get /'],
  ['GET /api', 'get /api'],
  ['GET /api/v1', 'get /api/v1'],
  ['GET /api/v1/', 'get /api/v1/'],
  ['GET /apis/apps/v1', 'get /apis/apps/v1'],
  ['POST /version', 'post /version'],
  ['GET /openapi/v3/apis/apps/v1', 'get /openapi/v3/apis/apps/v1'],
  ['GET /api/v1/pods', 'list /v1  pods'],
  ['GET /api/v1/pods?watch=true', 'watch /v1  pods'],
  ['GET /api/v1/pods?watch=1', 'watch /v1  pods'],
  ['GET /api/v1/pods?watch=maybe', 'watch /v1  pods'],
  ['GET /api/v1/pods?watch', 'watch /v1  pods'],
  ['GET /api/v1/pods?watch=0', 'list /v1  pods'],
  ['GET /api/v1/pods?watch=False', 'list /v1  pods'],
  ['HEAD /api/v1/pods', 'list /v1  pods'],
  ['GET /api/v1/watch/pods', 'watch /v1  pods'],
  ['GET /api/v1/watch/namespaces/a/pods', 'watch /v1 a pods'],
  ['GET /api/v1/watch/namespaces/a/pods/p', 'watch /v1 a pods p'],
  ['GET /api/v1/namespaces', 'list /v1  namespaces'],
  ['GET /api/v1/namespaces/a', 'get /v1 a namespaces a'],
  ['PUT /api/v1/namespaces/a/finalize', 'update /v1 a namespaces a finalize'],
  ['PATCH /api/v1/namespaces/a/status', 'patch /v1 a namespaces a status'],
  ['GET /api/v1/namespaces/a/pods', 'list /v1 a pods'],
  ['POST /api/v1/namespaces/a/pods', 'create /v1 a pods'],
  ['DELETE /api/v1/namespaces/a/pods', 'deletecollection /v1 a pods'],
  ['DELETE /api/v1/namespaces/a/pods/p', 'delete /v1 a pods p'],
  ['GET /api/v1/namespaces/a/pods/p/log', 'get /v1 a pods p log'],
  ['POST /api/v1/namespaces/a/pods/p/exec', 'create /v1 a pods p exec'],
  ['GET /api/v1/namespaces/a/services/s/proxy/x/y', 'get /v1 a services s proxy'],
  ['PUT /api/v1/nodes/n/status', 'update /v1  nodes n status'],
  ['PROPFIND /api/v1/namespaces', ' /v1  namespaces'],
  ['PATCH /apis/apps/v1/namespaces/a/deployments/d/scale', 'patch apps/v1 a deployments d scale'],
  ['GET /apis/none.example.com/v1/foos', 'list none.example.com/v1  foos'],
  ['GET /api/v1/pods?fieldSelector=metadata.name%3Dp', 'list /v1  pods p'],
  ['GET /api/v1/pods?fieldSelector=a=b,metadata.name==p&watch=1', 'watch /v1  pods p'],
  ['GET /api/v1/pods?fieldSelector=metadata.name!=p', 'list /v1  pods'],
  ['GET /api/v1/pods?fieldSelector=metadata.name=a/b', 'list /v1  pods'],
  ['GET /api/v1/namespaces/a/configmaps/x%3Ay', 'get /v1 a configmaps x:y'],
  // Decoded before it is cut: a slash in a name cannot hide a segment from authorization.
  ['GET /api/v1/namespaces/a/pods/p%2Flog', 'get /v1 a pods p log'],
];

describe('cluster/apiserver/pipeline/request-info', () => {
  for (const [request, expected] of CASES)
    it(request, () => {
      expect(read(request)).to.equal(expected);
    });

  it('refuses paths that are badly encoded or lack a resource', () => {
    expect(() => read('GET /api/v1/pods/%zz')).to.throw('not properly encoded');
    expect(() => read('GET /api/v1/watch')).to.throw('unable to determine kind and namespace');
  });

  it('tells what runs for long', () => {
    const long = (url: string): boolean => {
      const [path = '', query = ''] = url.split('?');
      return isLongRunning(requestInfo('GET', path, new URLSearchParams(query)));
    };
    expect(long('/api/v1/pods?watch=1')).to.equal(true);
    expect(long('/api/v1/namespaces/a/pods/p/log')).to.equal(true);
    expect(long('/api/v1/namespaces/a/pods/p/portforward')).to.equal(true);
    expect(long('/api/v1/namespaces/a/pods/p/status')).to.equal(false);
    expect(long('/api/v1/pods?watch=0')).to.equal(false);
    expect(long('/healthz')).to.equal(false);
  });

  it('reads the recorded refusals as the real server did', () => {
    let count = 0;
    for (const file of readdirSync('test/golden/auth')) {
      for (const { request, response } of recording(`test/golden/auth/${file}`)) {
        const text = /cannot (\S+) resource "([^"]+)" in API group "([^"]*)" (.*)$/.exec(
          response.body.message ?? '',
        );
        if (text === null) continue;
        const query = new URLSearchParams(request.query);
        const info = requestInfo(request.method, request.path, query);
        const resource = [info.resource, info.subresource].filter((part) => part !== '').join('/');
        const where =
          info.namespace === '' ? 'at the cluster scope' : `in the namespace "${info.namespace}"`;
        expect([info.verb, resource, info.group, where]).to.deep.equal(text.slice(1));
        count++;
      }
    }
    expect(count).to.be.greaterThan(20);
  });
});

interface Recorded {
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query?: Record<string, string>;
  };
  readonly response: { readonly body: { readonly message?: string } };
}

function recording(file: string): readonly Recorded[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as { steps: Recorded[] }).steps;
}
