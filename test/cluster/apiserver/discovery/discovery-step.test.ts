import { expect } from 'chai';
import { createHash } from 'node:crypto';
import { KINDS } from '../../../../src/cluster/api/kinds/registry.js';
import { REVIEW_KINDS } from '../../../../src/cluster/apiserver/auth/reviews.js';
import type { DiscoveredKind } from '../../../../src/cluster/apiserver/discovery/discovered-kind.js';
import {
  discoveryStep,
  notFoundStep,
} from '../../../../src/cluster/apiserver/discovery/discovery-step.js';
import { ServedGroups } from '../../../../src/cluster/apiserver/discovery/documents.js';
import { rootStep } from '../../../../src/cluster/apiserver/discovery/root.js';
import { exchangeOf, run, type Outcome } from '../exchange.js';
import { recorded } from '../recording.js';

const SERVED: readonly DiscoveredKind[] = [...KINDS, ...REVIEW_KINDS];
const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

interface Named {
  readonly name: string;
}
interface Aggregated {
  readonly metadata: { readonly name?: string };
  readonly versions: {
    readonly resources: { readonly resource: string; readonly subresources?: object[] }[];
  }[];
}

describe('cluster/apiserver/discovery', () => {
  const step = discoveryStep(SERVED, '<ADVERTISE>');
  const notFound = notFoundStep(SERVED);
  const groups = new ServedGroups(SERVED);

  function ask(
    path: string,
    headers: Record<string, string> = {},
    method = 'GET',
  ): Promise<Outcome> {
    return run(step, exchangeOf({ path, headers, method }));
  }

  it('tells of each served resource what the real server tells', async () => {
    let count = 0;
    for (const { request, response } of recorded('discovery/groups')) {
      const { group, version } = /^\/apis?(?:\/(?<group>[^/]+))?(?:\/(?<version>[^/]+))?$/.exec(
        request.path,
      )?.groups ?? { group: '' };
      if (request.path !== '/api/v1' && !groups.versions.has(group ?? '')) continue;
      const { code, body } = await ask(request.path);
      expect(code).to.equal(200);
      if (request.path !== '/api/v1' && version === undefined) {
        expect(body).to.deep.equal(response.body);
        continue;
      }
      const own = body as { resources: Named[] };
      const names = new Set(own.resources.map(({ name }) => name));
      const real = response.body as { resources: Named[] };
      const resources = real.resources.filter(({ name }) => names.has(name));
      expect(own, request.path).to.deep.equal({ ...real, resources });
      expect(JSON.stringify(own)).to.equal(JSON.stringify({ ...real, resources }));
      count += resources.length;
    }
    expect(count).to.be.greaterThan(KINDS.length);
  });

  it('tells the same at once to clients that ask for it so', async () => {
    for (const { request, response } of recorded('discovery/aggregated')) {
      const outcome = await ask(request.path, request.headers);
      if (response.status === 406) {
        // Left to the rendering of legacy documents, which knows no such view.
        expect(outcome.body).not.to.be.instanceOf(Buffer);
        continue;
      }
      const own = JSON.parse(String(outcome.body)) as { items: Aggregated[] };
      const real = response.body as { items: Aggregated[] };
      const served = own.items.map(({ metadata }) => metadata.name);
      const items = real.items.filter(({ metadata }) => served.includes(metadata.name));
      for (const [i, item] of own.items.entries())
        for (const [j, { resources }] of item.versions.entries())
          for (const resource of resources) {
            const all = items[i]?.versions[j]?.resources ?? [];
            const other = all.find((one) => one.resource === resource.resource);
            const subs = other?.subresources?.filter((sub) => includesDeep(resource, sub));
            const expected = { ...other, ...(subs === undefined ? {} : { subresources: subs }) };
            expect(resource).to.deep.equal(expected);
          }
      expect({ ...own, items: [] }).to.deep.equal({ ...real, items: [] });
      expect(items).to.have.length(own.items.length);
    }
  });

  it('names the aggregated document by its bytes, and sends it once', async () => {
    const exchange = exchangeOf({ path: '/apis', headers: { accept: AGGREGATED } });
    const answer = await step(exchange);
    if (answer?.type !== 'text') throw new Error('no text');
    const tag = `"${createHash('sha512').update(answer.text).digest('hex').toUpperCase()}"`;
    expect(answer).to.include({ status: 200, contentType: AGGREGATED });
    expect(answer.headers).to.deep.equal({ etag: tag, vary: 'Accept', 'cache-control': 'public' });
    const again = await step(
      exchangeOf({ path: '/apis', headers: { accept: AGGREGATED, 'if-none-match': tag } }),
    );
    expect(again).to.include({ status: 304, text: '' });
    expect((await ask('/apis', { accept: AGGREGATED, 'if-none-match': '"x"' })).code).to.equal(200);
  });

  it('prefers the form that the client names first', async () => {
    const isAggregated = async (accept: string): Promise<boolean> =>
      (await ask('/apis', { accept })).body instanceof Buffer;
    expect(await isAggregated(`${AGGREGATED},application/json`)).to.equal(true);
    expect(await isAggregated(`${AGGREGATED};profile=nopeer,application/json`)).to.equal(true);
    expect(await isAggregated(`application/json,${AGGREGATED}`)).to.equal(false);
    expect(await isAggregated(`application/json;q=0.5,${AGGREGATED}`)).to.equal(true);
    expect(await isAggregated('*/*')).to.equal(false);
    expect(await isAggregated('')).to.equal(false);
  });

  it('answers the roots, and refuses other methods where the real server does', async () => {
    expect((await ask('/api')).body).to.deep.equal(
      recorded('discovery/roots').find(({ request }) => request.path === '/api')?.response.body,
    );
    const list = (await ask('/apis')).body as { groups: Named[] };
    expect(list.groups.map(({ name }) => name)).to.deep.equal([
      'apps',
      'authentication.k8s.io',
      'authorization.k8s.io',
      'coordination.k8s.io',
      'discovery.k8s.io',
    ]);
    for (const path of ['/api', '/api/v1', '/apis/apps', '/apis/apps/v1'])
      expect((await ask(path, {}, 'POST')).code, path).to.equal(405);
    expect((await ask('/apis', {}, 'DELETE')).code).to.equal(200);
  });

  it('says that there is nothing as the real server says it', async () => {
    let count = 0;
    for (const { request, response } of recorded('discovery/roots')) {
      if (response.status !== 404) continue;
      const own = request.path.startsWith('/api') ? await ask(request.path) : { code: 0 };
      expect(own.code, request.path).to.equal(0);
      const { method, path } = request;
      const { code, body } = await run(notFound, exchangeOf({ method, path }));
      expect([code, body], path).to.deep.equal([404, response.body]);
      count++;
    }
    expect(count).to.be.greaterThan(6);
  });

  it('orders versions and unknown groups as clients expect them', () => {
    const [template] = KINDS;
    if (template === undefined) throw new Error('no kinds');
    const of = (group: string, version: string): DiscoveredKind => ({
      ...template,
      group,
      version,
    });
    const made = new ServedGroups([
      of('zoo.example.com', 'v1'),
      of('zoo.example.com', 'v10'),
      of('zoo.example.com', 'v2beta1'),
      of('zoo.example.com', 'v2alpha3'),
      of('zoo.example.com', 'v2'),
      of('ant.example.com', 'v1'),
      of('apps', 'v1'),
      of('', 'v1'),
    ]);
    expect([...made.versions.keys()]).to.deep.equal([
      '',
      'apps',
      'ant.example.com',
      'zoo.example.com',
    ]);
    expect(made.versions.get('zoo.example.com')).to.deep.equal([
      'v10',
      'v2',
      'v1',
      'v2beta1',
      'v2alpha3',
    ]);
  });

  it('lists all paths at the root', async () => {
    const checks = [{ name: 'etcd', of: ['readyz'] as const, check: () => undefined }];
    const { body } = await run(rootStep(SERVED, checks), exchangeOf({ path: '/' }));
    const { paths } = JSON.parse(String(body)) as { paths: string[] };
    expect(paths).to.include.members(['/api/v1', '/apis/apps', '/apis/apps/v1', '/readyz/etcd']);
    expect(paths).not.to.include('/healthz/etcd');
    expect(paths).to.deep.equal([...paths].sort());
  });
});

function includesDeep(resource: { readonly subresources?: object[] }, sub: object): boolean {
  const text = JSON.stringify(sub);
  return resource.subresources?.some((own) => JSON.stringify(own) === text) === true;
}
