import { expect } from 'chai';
import type { Pod } from '../../../../src/gen/kube-core-v1.js';
import {
  authorizationStep,
  fixedAuthorizer,
} from '../../../../src/cluster/apiserver/auth/authorizer.js';
import type { User } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import { exchangeOf, run, userOf, type Outcome } from '../exchange.js';
import { recorded } from '../recording.js';

function pod(name: string, node: string, spec: object): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'd' },
    spec: { nodeName: node, serviceAccountName: 'builder', ...spec },
  } as Pod;
}

const PODS = [
  pod('mine', 'node-a', {
    imagePullSecrets: [{ name: 'pull' }],
    volumes: [
      { name: 'v', secret: { secretName: 'volume' } },
      {
        name: 't',
        projected: {
          sources: [{ configMap: { name: 'kube-root-ca.crt' } }, { secret: { name: 'p' } }],
        },
      },
    ],
    containers: [
      {
        name: 'c',
        env: [{ name: 'E', valueFrom: { secretKeyRef: { name: 'env', key: 'k' } } }],
        envFrom: [{ configMapRef: { name: 'from' } }],
      },
    ],
    initContainers: [{ name: 'i', envFrom: [{ secretRef: { name: 'init' } }] }],
  }),
  pod('theirs', 'node-b', { volumes: [{ name: 'v', secret: { secretName: 'other' } }] }),
];

const step = authorizationStep(
  fixedAuthorizer({
    pod: (namespace, name) =>
      PODS.find(({ metadata }) => metadata?.name === name && metadata.namespace === namespace),
    podsOn: (node) => PODS.filter(({ spec }) => spec?.nodeName === node),
  }),
);

/** `METHOD /path?query` */
function ask(user: User, request: string): Promise<Outcome> {
  const [method = '', url = ''] = request.split(' ');
  const [path = '', query = ''] = url.split('?');
  const exchange = exchangeOf({
    method,
    path,
    query: Object.fromEntries(new URLSearchParams(query)),
  });
  exchange.user = user;
  return run(step, exchange);
}

async function may(user: User, ...requests: string[]): Promise<void> {
  for (const request of requests) expect((await ask(user, request)).code, request).to.equal(0);
}

async function mayNot(user: User, ...requests: string[]): Promise<void> {
  for (const request of requests) expect((await ask(user, request)).code, request).to.equal(403);
}

describe('cluster/apiserver/auth/authorizer', () => {
  it('refuses with the texts of the real server', async () => {
    let count = 0;
    for (const { request, response } of recorded('auth/forbidden-texts')) {
      if (response.status !== 403) continue;
      const user = userOf(request.user ?? '', 'devs');
      const { code, body } = await run(step, exchangeOf({ ...request, user }));
      expect([code, body], request.path).to.deep.equal([403, response.body]);
      count++;
    }
    expect(count).to.be.greaterThan(20);
  });

  it('lets administrators do everything', () =>
    may(
      userOf('admin', 'system:masters'),
      'DELETE /api/v1/nodes/n',
      'GET /api/v1/namespaces/d/secrets',
      'POST /api/v1/namespaces/d/pods/p/exec',
      'GET /metrics',
    ));

  it('lets everybody with a name look around, and nothing else', async () => {
    const account = userOf('system:serviceaccount:d:builder', 'system:serviceaccounts');
    for (const user of [userOf('alice'), account]) {
      await may(
        user,
        ...['GET /api', 'GET /apis', 'GET /api/v1', 'GET /apis/apps/v1', 'GET /version'],
        ...['GET /openapi/v3', 'GET /openapi/v3/apis/apps/v1', 'GET /readyz', 'HEAD /livez'],
        'POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        'POST /apis/authentication.k8s.io/v1/selfsubjectreviews',
      );
      await mayNot(
        user,
        ...['GET /metrics', 'GET /nope', 'GET /readyz/etcd', 'POST /api', 'GET /apiserver'],
        ...['GET /api/v1/pods', 'GET /api/v1/namespaces/d/secrets/s', 'GET /api/v1/namespaces'],
        'POST /apis/authorization.k8s.io/v1/subjectaccessreviews',
        'POST /api/v1/namespaces/d/serviceaccounts/builder/token',
      );
    }
    await may(account, 'GET /openid/v1/jwks');
    await mayNot(userOf('alice'), 'GET /openid/v1/jwks');
  });

  it('lets the controller manager manage, and run nothing in containers', async () => {
    const user = userOf('system:kube-controller-manager');
    await may(
      user,
      'GET /apis/apps/v1/deployments?watch=1',
      'POST /apis/apps/v1/namespaces/d/replicasets',
      'POST /api/v1/namespaces/d/pods',
      'PATCH /apis/apps/v1/namespaces/d/deployments/web/status',
      'DELETE /api/v1/namespaces/d/secrets',
      'PUT /api/v1/namespaces/d/finalize',
      'POST /apis/discovery.k8s.io/v1/namespaces/d/endpointslices',
      'PUT /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager',
      'POST /api/v1/namespaces/d/events',
    );
    await mayNot(
      user,
      'POST /api/v1/namespaces/d/pods/p/exec',
      'GET /api/v1/namespaces/d/pods/p/exec',
      'GET /api/v1/nodes/n/proxy',
      'POST /api/v1/namespaces/d/pods/p/binding',
      'POST /api/v1/namespaces',
      'GET /metrics',
    );
  });

  it('lets the scheduler bind and preempt pods', async () => {
    const user = userOf('system:kube-scheduler');
    await may(
      user,
      'GET /api/v1/pods?watch=1',
      'GET /api/v1/nodes',
      'POST /api/v1/namespaces/d/pods/p/binding',
      'PATCH /api/v1/namespaces/d/pods/p/status',
      'DELETE /api/v1/namespaces/d/pods/p',
      'POST /apis/coordination.k8s.io/v1/namespaces/kube-system/leases',
      'PATCH /apis/events.k8s.io/v1/namespaces/d/events/e',
    );
    await mayNot(
      user,
      'POST /api/v1/namespaces/d/pods',
      'GET /api/v1/secrets',
      'DELETE /api/v1/namespaces/d/pods',
      'PUT /api/v1/namespaces/d/pods/p',
      'PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-a',
    );
  });

  it('lets the proxy read services', async () => {
    const user = userOf('system:kube-proxy');
    await may(user, 'GET /api/v1/services', 'GET /apis/discovery.k8s.io/v1/endpointslices?watch=1');
    await mayNot(user, 'GET /api/v1/pods', 'GET /api/v1/secrets', 'PUT /api/v1/nodes/n/status');
  });

  describe('of a node', () => {
    const node = userOf('system:node:node-a', 'system:nodes');
    const leases = '/apis/coordination.k8s.io/v1/namespaces';

    it('lets it care for its own node, lease and pods', () =>
      may(
        node,
        ...['POST /api/v1/nodes', 'GET /api/v1/nodes/node-a', 'PATCH /api/v1/nodes/node-a'],
        ...['PATCH /api/v1/nodes/node-a/status', 'PUT /api/v1/nodes/node-a'],
        'GET /api/v1/nodes?fieldSelector=metadata.name%3Dnode-a&watch=1',
        `GET ${leases}/kube-node-lease/leases/node-a`,
        `PUT ${leases}/kube-node-lease/leases/node-a`,
        `POST ${leases}/kube-node-lease/leases`,
        'GET /api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a',
        'GET /api/v1/pods?fieldSelector=spec.nodeName%3D%3Dnode-a&watch=1',
        ...['GET /api/v1/namespaces/d/pods/mine', 'DELETE /api/v1/namespaces/d/pods/mine'],
        'PATCH /api/v1/namespaces/d/pods/mine/status',
        'PATCH /api/v1/namespaces/d/pods/gone/status',
        'POST /api/v1/namespaces/d/events',
        'GET /api/v1/services?watch=1',
      ));

    it('lets it publish its own DNS as an endpoint', async () => {
      const slices = '/apis/discovery.k8s.io/v1/namespaces';
      const own = `${slices}/kube-system/endpointslices`;
      await may(node, `POST ${own}`, `GET ${own}/kube-dns-node-a`, `PUT ${own}/kube-dns-node-a`);
      await mayNot(
        node,
        ...[`PUT ${own}/kube-dns-node-b`, `DELETE ${own}/kube-dns-node-a`, `GET ${own}`],
        ...[`PATCH ${own}/kube-dns-node-a`, `POST ${slices}/d/endpointslices`],
        `PUT ${slices}/d/endpointslices/kube-dns-node-a`,
      );
    });

    it('lets it read what its pods refer to', async () => {
      await may(
        node,
        ...['pull', 'volume', 'p', 'env', 'init'].map(
          (name) => `GET /api/v1/namespaces/d/secrets/${name}`,
        ),
        'GET /api/v1/namespaces/d/configmaps/kube-root-ca.crt',
        'GET /api/v1/namespaces/d/configmaps/from',
        'GET /api/v1/namespaces/d/secrets?fieldSelector=metadata.name%3Denv&watch=1',
        'POST /api/v1/namespaces/d/serviceaccounts/builder/token',
      );
      await mayNot(
        node,
        ...['GET /api/v1/namespaces/d/secrets/other', 'GET /api/v1/namespaces/d/configmaps/env'],
        ...['GET /api/v1/namespaces/d/secrets', 'GET /api/v1/namespaces/e/secrets/env'],
        ...['GET /api/v1/secrets', 'DELETE /api/v1/namespaces/d/secrets/env'],
        'POST /api/v1/namespaces/e/serviceaccounts/builder/token',
        'GET /api/v1/namespaces/d/serviceaccounts/builder',
      );
    });

    it('keeps it from what belongs to others, with the reasons of the real server', async () => {
      const user = 'User "system:node:node-a" cannot';
      const cases: [string, string][] = [
        [
          'GET /api/v1/nodes/node-b',
          `nodes "node-b" is forbidden: ${user} get resource "nodes" in API group "" at the cluster scope: node 'node-a' cannot read 'node-b', only its own Node object`,
        ],
        [
          'GET /api/v1/nodes',
          `nodes is forbidden: ${user} list resource "nodes" in API group "" at the cluster scope: node 'node-a' cannot read all nodes, only its own Node object`,
        ],
        [
          'GET /api/v1/namespaces/d/secrets/x',
          `secrets "x" is forbidden: ${user} get resource "secrets" in API group "" in the namespace "d": no relationship found between node 'node-a' and this object`,
        ],
        [
          'GET /api/v1/pods?fieldSelector=spec.nodeName%3Dnode-b',
          `pods is forbidden: ${user} list resource "pods" in API group "" at the cluster scope: can only list/watch pods with spec.nodeName field selector`,
        ],
        [
          'PATCH /api/v1/nodes/node-b/status',
          'nodes "node-b" is forbidden: node "node-a" is not allowed to modify node "node-b"',
        ],
        [
          `GET ${leases}/kube-node-lease/leases/node-b`,
          `leases.coordination.k8s.io "node-b" is forbidden: ${user} get resource "leases" in API group "coordination.k8s.io" in the namespace "kube-node-lease": can only access node lease with the same name as the requesting node`,
        ],
        [
          'DELETE /api/v1/nodes/node-b',
          `nodes "node-b" is forbidden: ${user} delete resource "nodes" in API group "" at the cluster scope`,
        ],
        [
          'PATCH /api/v1/namespaces/d/pods/theirs/status',
          'pods "theirs" is forbidden: node "node-a" can only update pod status for pods with spec.nodeName set to itself',
        ],
        [
          'GET /api/v1/namespaces/d/pods/theirs',
          `pods "theirs" is forbidden: ${user} get resource "pods" in API group "" in the namespace "d": no relationship found between node 'node-a' and this object`,
        ],
      ];
      for (const [request, message] of cases) {
        const { body } = await ask(node, request);
        expect((body as { message: string }).message).to.equal(message);
      }
      await mayNot(
        node,
        ...['PUT /api/v1/namespaces/d/pods/mine', 'POST /api/v1/namespaces/d/pods/mine/exec'],
        `PUT ${leases}/kube-system/leases/kube-scheduler`,
        ...['DELETE /api/v1/nodes/node-a', 'GET /api/v1/nodes/node-a/proxy', 'GET /metrics'],
      );
      // A name alone makes no node.
      await mayNot(userOf('system:node:node-a'), 'GET /api/v1/nodes/node-a');
      await mayNot(userOf('system:node:', 'system:nodes'), 'GET /api/v1/nodes/');
    });
  });
});
