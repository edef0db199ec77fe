/** Writes of a node, as far as the authorizer lets them through. */
import { expect } from 'chai';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { findKind } from '../../../../src/cluster/api/kinds/registry.js';
import type { KubeObject } from '../../../../src/cluster/api/object.js';
import { isApiError } from '../../../../src/cluster/api/status.js';
import type { User } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import type { ApiCore } from '../../../support/api-core.js';
import { namespaceOf, OneStore } from '../../../support/one-store.js';

const USER: User = { name: 'system:node:a', uid: '', groups: ['system:nodes'], extra: {} };
const MIRROR = { 'kubernetes.io/config.mirror': 'x' };
const SERVICE = 'kubernetes.io/service-name';

function kindOf(group: string, kind: string): Kind {
  const found = findKind(group, 'v1', kind);
  if (found === undefined) throw new Error(kind);
  return found;
}

const NODE = kindOf('', 'Node');
const POD = kindOf('', 'Pod');
const LEASE = kindOf('coordination.k8s.io', 'Lease');
const SLICE = kindOf('discovery.k8s.io', 'EndpointSlice');
const ACCOUNT = kindOf('', 'ServiceAccount');

describe('cluster/apiserver/admission/node-restriction', () => {
  let one: OneStore;
  let api: ApiCore;
  let uid: string;

  before(async () => {
    one = await OneStore.start();
    api = await one.server();
    for (const name of ['kube-system', 'kube-node-lease', 'default']) await namespaceOf(api, name);
    const { object } = await create(NODE, '', { metadata: { name: 'a', labels: { mine: '1' } } });
    uid = object.metadata.uid ?? '';
  });

  after(() => one.stop());

  const contextOf = (
    user = USER,
    subresource = '',
  ): Parameters<ApiCore['core']['writer']['create']>[3] => ({
    user,
    manager: 'test',
    isDryRun: false,
    subresource,
    warnings: [],
  });

  function create(
    kind: Kind,
    namespace: string,
    given: object,
    user = USER,
  ): Promise<{ object: KubeObject }> {
    const apiVersion = kind.group === '' ? 'v1' : `${kind.group}/v1`;
    const object = { apiVersion, kind: kind.kind, ...structuredClone(given) } as KubeObject;
    kind.setDefaults(object);
    return api.core.writer.create(kind, namespace, object, contextOf(user));
  }

  function change(
    kind: Kind,
    namespace: string,
    name: string,
    part: (object: never) => void,
    subresource = '',
  ): Promise<unknown> {
    return api.core.writer.update(
      kind,
      namespace,
      name,
      contextOf(USER, subresource),
      (current) => {
        const next = structuredClone(current);
        part(next as never);
        return next;
      },
    );
  }

  async function refused(write: Promise<unknown>, why: string): Promise<void> {
    const error: unknown = await write.then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(isApiError(error, 'Forbidden'), String(error)).to.equal(true);
    expect((error as Error).message).to.contain(` is forbidden: ${why}`);
  }

  it('lets a node register itself only, without labels that steer pods', async () => {
    const node = (name: string, labels: object): object => ({ metadata: { name, labels } });
    await refused(create(NODE, '', node('b', {})), 'node "a" is not allowed to modify node "b"');
    await refused(
      create(
        NODE,
        '',
        node('a', { 'x.node-restriction.kubernetes.io/y': '1', 'own/z': '1', 'k8s.io/q': '' }),
      ),
      'node "a" is not allowed to set the following labels: k8s.io/q, x.node-restriction.kubernetes.io/y',
    );
  });

  it('lets it change its own labels, but no taint, owner or label of Kubernetes', async () => {
    await change(NODE, '', 'a', ({ metadata }: KubeObject) => {
      metadata.labels = {
        mine: '2',
        'topology.kubernetes.io/zone': 'z',
        'node.kubernetes.io/any': '',
      };
    });
    await refused(
      change(
        NODE,
        '',
        'a',
        ({ metadata }: KubeObject) => (metadata.labels = { 'node-role.kubernetes.io/x': '' }),
      ),
      'is not allowed to modify labels: node-role.kubernetes.io/x',
    );
    await refused(
      change(NODE, '', 'a', (node: { spec: object }) => (node.spec = { taints: [] })),
      'node "a" is not allowed to modify taints',
    );
    await refused(
      change(NODE, '', 'a', ({ metadata }: KubeObject) => {
        metadata.ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: 'a', uid }];
      }),
      'node "a" is not allowed to modify ownerReferences',
    );
  });

  it('lets it write its own lease only', async () => {
    await create(LEASE, 'kube-node-lease', { metadata: { name: 'a' } });
    await refused(
      create(LEASE, 'kube-node-lease', { metadata: { name: 'b' } }),
      'can only access node lease with the same name as the requesting node',
    );
  });

  it('lets it publish itself for DNS, and nothing else', async () => {
    const slice = (name: string, service: string, nodeName: string): object => ({
      metadata: { name, labels: { [SERVICE]: service } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'], nodeName }],
      ports: [],
    });
    await create(SLICE, 'kube-system', slice('kube-dns-a', 'kube-dns', 'a'));
    await refused(
      create(SLICE, 'kube-system', slice('other', 'kube-dns', 'a')),
      `can only access endpoint slice 'kube-dns-a' in the "kube-system" system namespace`,
    );
    await refused(
      create(SLICE, 'kube-system', slice('kube-dns-a', 'other', 'a')),
      'node "a" can only publish endpoints of the service kube-system/kube-dns',
    );
    await refused(
      create(SLICE, 'kube-system', slice('kube-dns-a', 'kube-dns', 'b')),
      'node "a" can only publish endpoints with nodeName set to itself',
    );
    await refused(
      change(
        SLICE,
        'kube-system',
        'kube-dns-a',
        ({ metadata }: KubeObject) => (metadata.labels = { [SERVICE]: 'x' }),
      ),
      'node "a" can only publish endpoints of the service kube-system/kube-dns',
    );
  });

  it('lets it create mirror pods of its own, which refer to nothing', async () => {
    const owner = { apiVersion: 'v1', kind: 'Node', name: 'a', uid, controller: true };
    const pod = (metadata: object, spec: object = {}): object => ({
      metadata: { name: 'm', annotations: MIRROR, ownerReferences: [owner], ...metadata },
      spec: { nodeName: 'a', containers: [{ name: 'c', image: 'i' }], ...spec },
    });
    const no = (given: object, why: string): Promise<void> =>
      refused(create(POD, 'default', given), why);
    const only = 'node "a" can only create pods with';
    await no(
      pod({}, { serviceAccountName: 'x' }),
      'a mirror pod may not reference service accounts',
    );
    await no(pod({}, { nodeName: 'b' }), `${only} spec.nodeName set to itself`);
    await no(pod({ ownerReferences: [] }), `${only} an owner reference set to itself`);
    await no(
      pod({ ownerReferences: [owner, owner] }),
      `${only} a single owner reference set to itself`,
    );
    await no(
      pod({ ownerReferences: [{ ...owner, controller: false }] }),
      `${only} a controller owner reference set to itself`,
    );
    await no(
      pod({ ownerReferences: [{ ...owner, blockOwnerDeletion: true }] }),
      'node "a" must not set blockOwnerDeletion on an owner reference',
    );
    await no(
      pod({ ownerReferences: [{ ...owner, uid: 'other' }] }),
      `node a UID mismatch: expected other got ${uid}`,
    );
    const volumes = (...all: object[]): object => pod({}, { volumes: all });
    const may = 'node "a" can not create pods that reference';
    await no(volumes({ name: 'v', secret: { secretName: 's' } }), `${may} secrets`);
    await no(volumes({ name: 'v', configMap: { name: 's' } }), `${may} configmaps`);
    await no(
      volumes({ name: 'v', persistentVolumeClaim: { claimName: 's' } }),
      `${may} persistentvolumeclaims`,
    );
    const { object } = await create(POD, 'default', pod({}));
    expect((object as { spec?: { volumes?: unknown } }).spec?.volumes, 'no token').to.equal(
      undefined,
    );
    await refused(
      change(
        POD,
        'default',
        'm',
        ({ metadata }: KubeObject) => (metadata.labels = { steer: '1' }),
        'status',
      ),
      'node "a" cannot update labels through pod status',
    );
  });

  it('lets it create no other pod', async () => {
    const spec = { nodeName: 'a', containers: [{ name: 'c', image: 'i' }] };
    await refused(
      create(POD, 'default', { metadata: { name: 'p' }, spec }),
      'pod does not have "kubernetes.io/config.mirror" annotation, node "a" can only create mirror pods',
    );
  });

  it('gives it tokens that are bound to its own pods', async () => {
    const other: User = { ...USER, name: 'admin', groups: ['system:masters'] };
    const pod = (name: string, nodeName: string): object => ({
      metadata: { name },
      spec: { nodeName, containers: [{ name: 'c', image: 'i' }] },
    });
    const { object: mine } = await create(POD, 'default', pod('mine', 'a'), other);
    const { object: theirs } = await create(POD, 'default', pod('theirs', 'b'), other);
    const askFor = (object: object): Promise<void> =>
      api.core.admission.mutate({
        operation: 'CREATE',
        kind: ACCOUNT,
        subresource: 'token',
        namespace: 'default',
        name: 'default',
        user: USER,
        object: object as KubeObject,
        old: undefined,
      });
    const ask = (boundObjectRef?: object): Promise<void> => askFor({ spec: { boundObjectRef } });
    const ref = { apiVersion: 'v1', kind: 'Pod', name: 'mine', uid: mine.metadata.uid };
    await ask(ref);
    await refused(ask(), 'node requested token not bound to a pod');
    await refused(askFor({}), 'node requested token not bound to a pod');
    await refused(ask({ ...ref, kind: 'Secret' }), 'node requested token not bound to a pod');
    await refused(
      ask({ ...ref, uid: undefined }),
      'node requested token with a pod binding without a uid',
    );
    await refused(ask({ ...ref, uid: 'old' }), 'the UID in the bound object reference (old)');
    await refused(
      ask({ ...ref, name: 'theirs', uid: theirs.metadata.uid }),
      'node requested token bound to a pod scheduled on a different node',
    );
  });
});
