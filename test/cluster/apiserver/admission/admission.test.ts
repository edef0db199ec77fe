import { expect } from 'chai';
import type { Node, Pod, ServiceAccount } from '../../../../src/gen/kube-core-v1.js';
import type { Status } from '../../../../src/gen/kube-meta-v1.js';
import type { ApiCore } from '../../../support/api-core.js';
import { send, type Reply } from '../../../support/api-requests.js';
import { namespaceOf, OneStore } from '../../../support/one-store.js';

const MERGE = { 'content-type': 'application/merge-patch+json' };
const MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

function pod(name: string, spec: Partial<Pod['spec']> = {}): Pod {
  const containers = [{ name: 'c', image: 'i' }];
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { containers, ...spec } };
}

describe('admission', () => {
  let one: OneStore;
  let api: ApiCore;
  let count = 0;
  let name: string;
  let path: string;

  before(async () => {
    one = await OneStore.start();
    api = await one.server();
  });

  after(() => one.stop());

  beforeEach(async () => {
    name = `ns-${count++}`;
    path = await namespaceOf(api, name);
  });

  const create = <T = Pod>(body: object, resource = 'pods'): Promise<Reply<T>> =>
    send<T>(api, 'POST', `${path}/${resource}`, { body });

  const account = (more: Partial<ServiceAccount>): object => ({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    ...more,
  });

  describe('of namespaces', () => {
    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } };

    it('lets nothing into a namespace that is absent', async () => {
      path = '/api/v1/namespaces/absent';
      const { status, body } = await create<Status>(map, 'configmaps');
      expect(status).to.equal(404);
      expect(body.message).to.equal('namespaces "absent" not found');
    });

    it('lets nothing new into one that is going, from the deletion on, on no server', async () => {
      const other = await one.server();
      await create(map, 'configmaps');
      expect((await send(api, 'DELETE', path)).status).to.equal(200);
      const refused = await create<Status>({ ...map, metadata: { name: 'b' } }, 'configmaps');
      expect(refused.status).to.equal(403);
      expect(refused.body.message).to.equal(
        `configmaps "b" is forbidden: unable to create new content in namespace ${name} because it is being terminated`,
      );
      expect(refused.body.details).to.deep.equal({
        name: 'b',
        kind: 'configmaps',
        causes: [
          {
            reason: 'NamespaceTerminating',
            message: `namespace ${name} is being terminated`,
            field: 'metadata.namespace',
          },
        ],
      });
      // A consistent list: from here on the other server's cache has the deletion.
      await send(other, 'GET', '/api/v1/namespaces');
      const body = { ...map, metadata: { name: 'b' } };
      expect((await send(other, 'POST', `${path}/configmaps`, { body })).status).to.equal(403);
      const patch = { headers: MERGE, body: { data: { x: 'y' } } };
      const changed = await send(api, 'PATCH', `${path}/configmaps/a`, patch);
      expect(changed.status, 'what is there may change').to.equal(200);
      expect((await send(api, 'DELETE', `${path}/configmaps/a`)).status).to.equal(200);
    });

    it('keeps the namespaces of the system', async () => {
      for (const kept of ['default', 'kube-system', 'kube-public']) {
        await namespaceOf(api, kept);
        const { status, body } = await send<Status>(api, 'DELETE', `/api/v1/namespaces/${kept}`);
        expect(status).to.equal(403);
        expect(body.message).to.equal(
          `namespaces "${kept}" is forbidden: this namespace may not be deleted`,
        );
      }
    });
  });

  describe('of service accounts', () => {
    it('refuses a pod whose account is absent', async () => {
      const { status, body } = await create<Status>(pod('p', { serviceAccountName: 'gone' }));
      expect(status).to.equal(403);
      expect(body.message).to.equal(
        `pods "p" is forbidden: error looking up service account ${name}/gone: serviceaccount "gone" not found`,
      );
    });

    it('mounts a token into each container that has nothing there', async () => {
      const { body } = await create(
        pod('p', {
          initContainers: [{ name: 'i', image: 'i' }],
          containers: [
            { name: 'a', image: 'i' },
            { name: 'b', image: 'i', volumeMounts: [{ name: 'own', mountPath: MOUNT }] },
          ],
          volumes: [{ name: 'own', emptyDir: {} }],
        }),
      );
      const { spec } = body;
      expect(spec.serviceAccountName).to.equal('default');
      expect(spec.serviceAccount).to.equal('default');
      const [, volume] = spec.volumes ?? [];
      expect(volume?.name).to.match(/^kube-api-access-[b-z2-9]{5}$/);
      const sources = volume?.projected?.sources ?? [];
      expect(sources[0]?.serviceAccountToken).to.deep.equal({
        expirationSeconds: 3607,
        path: 'token',
      });
      expect(sources[1]?.configMap?.name).to.equal('kube-root-ca.crt');
      expect(sources[2]?.downwardAPI?.items?.[0]?.path).to.equal('namespace');
      const mount = { name: volume?.name, readOnly: true, mountPath: MOUNT };
      expect(spec.initContainers?.[0]?.volumeMounts).to.deep.equal([mount]);
      expect(spec.containers.map(({ volumeMounts }) => volumeMounts)).to.deep.equal([
        [mount],
        [{ name: 'own', mountPath: MOUNT }],
      ]);
    });

    it('mounts none where the pod, or else the account, does not want it', async () => {
      const metadata = { name: 'shy' };
      const secrets = [{ name: 'pull' }];
      await create(
        account({ metadata, automountServiceAccountToken: false, imagePullSecrets: secrets }),
        'serviceaccounts',
      );
      const volumes = async (spec: Partial<Pod['spec']>): Promise<number> =>
        (await create(pod(`p${count++}`, spec))).body.spec.volumes?.length ?? 0;
      expect(await volumes({ serviceAccountName: 'shy' })).to.equal(0);
      const wants = { serviceAccountName: 'shy', automountServiceAccountToken: true };
      expect(await volumes(wants)).to.equal(1);
      expect(await volumes({ automountServiceAccountToken: false })).to.equal(0);
      const { body } = await create(pod('pulling', { serviceAccountName: 'shy' }));
      expect(body.spec.imagePullSecrets).to.deep.equal(secrets);
      const own = { serviceAccountName: 'shy', imagePullSecrets: [{ name: 'mine' }] };
      expect((await create(pod('own', own))).body.spec.imagePullSecrets).to.deep.equal([
        { name: 'mine' },
      ]);
    });
  });

  describe('of tolerations', () => {
    const added = ['not-ready', 'unreachable'].map((taint) => ({
      key: `node.kubernetes.io/${taint}`,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 300,
    }));

    it('lets pods tolerate a node that went away for five minutes', async () => {
      expect((await create(pod('p'))).body.spec.tolerations).to.deep.equal(added);
    });

    it('adds what the pod does not say itself', async () => {
      const own = { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' };
      const { body } = await create(pod('p', { tolerations: [own] }));
      expect(body.spec.tolerations).to.deep.equal([own, added[1]]);
      const all = [{ operator: 'Exists' }];
      const tolerant = await create(pod('q', { tolerations: all }));
      expect(tolerant.body.spec.tolerations).to.deep.equal(all);
    });
  });

  describe('of priorities', () => {
    it('gives the value of the class, and refuses another', async () => {
      const plain = (await create(pod('p'))).body.spec;
      expect([plain.priority, plain.preemptionPolicy]).to.deep.equal([0, 'PreemptLowerPriority']);
      const absent = await create<Status>(pod('q', { priorityClassName: 'absent' }));
      expect(absent.status).to.equal(403);
      expect(absent.body.message).to.equal(
        'pods "q" is forbidden: no PriorityClass with name absent was found',
      );
      const other = await create<Status>(pod('q', { priority: 5 }));
      expect(other.status).to.equal(403);
      expect(other.body.message).to.equal(
        'pods "q" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name',
      );
      const never = await create<Status>(pod('q', { preemptionPolicy: 'Never' }));
      expect(never.status).to.equal(403);
      expect(never.body.message).to.match(/^pods "q" is forbidden: the string value of Preemption/);
    });

    it('knows the classes of the system', async () => {
      path = await namespaceOf(api, 'kube-system');
      const critical = await create(
        pod(`p${count}`, { priorityClassName: 'system-node-critical' }),
      );
      expect(critical.body.spec.priority).to.equal(2_000_001_000);
    });
  });

  describe('of nodes', () => {
    const node = (more: Partial<Node['spec']>): object => ({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: `n${count++}` },
      spec: more,
    });
    const taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };
    const taints = async (spec: Partial<Node['spec']>): Promise<unknown> =>
      (await send<Node>(api, 'POST', '/api/v1/nodes', { body: node(spec) })).body.spec?.taints;

    it('begins each with the taint of a node that is not ready, once', async () => {
      const own = { key: 'own', effect: 'NoExecute' };
      expect(await taints({})).to.deep.equal([taint]);
      expect(await taints({ taints: [own] })).to.deep.equal([own, taint]);
      expect(await taints({ taints: [taint] })).to.deep.equal([taint]);
    });

    it('leaves it off when it is taken off', async () => {
      const body = node({});
      const made = await send<Node>(api, 'POST', '/api/v1/nodes', { body });
      const at = `/api/v1/nodes/${made.body.metadata.name ?? ''}`;
      const patch = { headers: MERGE, body: { spec: { taints: null } } };
      expect((await send<Node>(api, 'PATCH', at, patch)).body.spec?.taints).to.equal(undefined);
    });
  });

  describe('of the place of a pod', () => {
    const topology = {
      'topology.kubernetes.io/region': 'r',
      'topology.kubernetes.io/zone': 'z',
    };

    beforeEach(async () => {
      const labels = { ...topology, other: 'o' };
      const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: `node-${name}`, labels } };
      await send(api, 'POST', '/api/v1/nodes', { body: node });
    });

    it('gives a bound pod zone and region of its node', async () => {
      await create(pod('a'));
      const target = { kind: 'Node', name: `node-${name}` };
      const body = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'a' }, target };
      expect((await send(api, 'POST', `${path}/pods/a/binding`, { body })).status).to.equal(201);
      const bound = await send<Pod>(api, 'GET', `${path}/pods/a`);
      expect(bound.body.metadata.labels).to.deep.equal(topology);
    });

    it('gives them to a pod that comes with its node, and nothing for a node that is absent', async () => {
      const made = await create(pod('a', { nodeName: `node-${name}` }));
      expect(made.body.metadata.labels).to.deep.equal(topology);
      const lost = await create(pod('b', { nodeName: 'absent' }));
      expect(lost.body.metadata.labels).to.equal(undefined);
    });
  });
});
