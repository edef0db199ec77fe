import { expect } from 'chai';
import {
  healthStep,
  type HealthCheck,
} from '../../../../src/cluster/apiserver/discovery/health.js';
import { exchangeOf, run, type Outcome } from '../exchange.js';
import { recorded } from '../recording.js';

describe('cluster/apiserver/discovery/health', () => {
  let etcd: string | undefined;
  let syncing: string | undefined;
  const everywhere = ['healthz', 'livez', 'readyz'] as const;
  const checks: readonly HealthCheck[] = [
    { name: 'ping', of: everywhere, check: () => undefined },
    {
      name: 'etcd',
      of: everywhere,
      check: () => (etcd === undefined ? undefined : Promise.reject(new Error(etcd))),
    },
    { name: 'informer-sync', of: ['readyz'], check: () => Promise.resolve(syncing) },
    { name: 'poststarthook/bootstrap-controller', of: everywhere, check: () => undefined },
    { name: 'shutdown', of: ['readyz'], check: () => undefined },
  ];
  const step = healthStep(checks);

  beforeEach(() => {
    etcd = undefined;
    syncing = undefined;
  });

  function ask(path: string, query: Record<string, string> = {}): Promise<Outcome> {
    return run(step, exchangeOf({ path, query }));
  }

  it('answers as recorded, with fewer checks', async () => {
    let count = 0;
    for (const { request, response } of recorded('discovery/roots')) {
      const { path, query } = request;
      if (!/^\/(healthz|livez|readyz)/.test(path)) continue;
      const { code, body } = await ask(path, query);
      expect(code, path).to.equal(response.status);
      const known = new Set(checks.map(({ name }) => name));
      const expected = String(response.body)
        .split('\n')
        .filter((line) => !line.startsWith('[') || known.has(line.split(' ')[0]?.slice(3) ?? ''));
      const endpoint = /^\/(healthz|livez|readyz)/.exec(path)?.[1];
      const ofEndpoint = expected.filter((line) => isOf(line, endpoint));
      expect(body).to.equal(ofEndpoint.join('\n'));
      count++;
    }
    expect(count).to.be.greaterThan(7);
  });

  function isOf(line: string, endpoint: string | undefined): boolean {
    const check = checks.find(({ name }) => line.startsWith(`[+]${name} `));
    return check?.of.some((one) => one === endpoint) !== false;
  }

  it('fails with the failing check named and its reason withheld', async () => {
    etcd = 'connection refused';
    expect(await ask('/livez')).to.deep.equal({
      code: 500,
      body: '[+]ping ok\n[-]etcd failed: reason withheld\n[+]poststarthook/bootstrap-controller ok\nlivez check failed\n',
    });
    expect(await ask('/livez/etcd')).to.deep.equal({
      code: 500,
      body: 'internal server error: connection refused\n',
    });
    expect((await ask('/livez', { exclude: 'etcd' })).body).to.equal('ok');
    syncing = '2 caches are not filled';
    const { code, body } = await ask('/readyz', { exclude: 'etcd' });
    expect(code).to.equal(500);
    expect(body).to.contain('[-]informer-sync failed: reason withheld\n');
    expect((await ask('/readyz/informer-sync')).body).to.equal(
      'internal server error: 2 caches are not filled\n',
    );
    expect((await ask('/livez/ping')).body).to.equal('ok');
  });

  it('warns of checks that cannot be left out, and knows none of other endpoints', async () => {
    const { body } = await ask('/healthz', { exclude: 'nope', verbose: '' });
    expect(body).to.contain(
      'warn: some health checks cannot be excluded: no matches for "nope"\nhealthz check passed\n',
    );
    expect((await ask('/healthz/informer-sync')).code).to.equal(404);
    expect((await ask('/healthzz')).code).to.equal(0);
    expect((await ask('/readyz/poststarthook/bootstrap-controller')).body).to.equal('ok');
  });
});
