/** The whole of cluster DNS, asked by the resolver of Node.js. */
import { Resolver } from 'node:dns/promises';
import { expect } from 'chai';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { ENDPOINT_SLICES, NODES, SERVICES } from '../../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../../src/cluster/client/rest-client.js';
import { SharedInformers } from '../../../../src/cluster/client/shared-informers.js';
import { startDns } from '../../../../src/cluster/proxy/dns/start-dns.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { FakeApi } from '../../../support/fake-api/fake-api.js';
import { until } from '../../../support/until.js';
import { endpointOf, serviceOf, sliceOf } from '../support/objects.js';

describe('cluster/proxy/dns/start-dns', () => {
  it('answers a resolver, over TCP where it must, and publishes where it is', async () => {
    const env = systemClusterEnv();
    const api = new FakeApi(env);
    api.put(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-a' }, spec: {} });
    const ports = [{ name: 'http', protocol: 'TCP', port: 80 }];
    api.put(SERVICES, serviceOf('web', { clusterIP: '10.96.0.7', ports }));
    api.put(SERVICES, serviceOf('db', { clusterIP: 'None', ports }));
    const many = Array.from({ length: 200 }, (_, i) => endpointOf(`10.244.7.${i}`));
    api.put(ENDPOINT_SLICES, sliceOf('db', many));
    const client = restClient(api);
    const informers = new SharedInformers(env, silentLogger, client);
    const server = await startDns({
      client,
      env,
      log: silentLogger,
      nodeName: 'node-a',
      nodeIp: '127.0.0.1',
      port: 0,
      informers,
      clusterDomain: 'cluster.local.',
      resolverFile: '/nonexistent/resolv.conf',
    });
    informers.start();
    await until(() => {
      const slice = api.get(ENDPOINT_SLICES, 'kube-system', 'kube-dns-node-a');
      return slice?.ports?.[0]?.port === server.port;
    });
    const resolver = new Resolver({ timeout: 5_000, tries: 1 });
    resolver.setServers([`127.0.0.1:${server.port}`]);
    const name = 'web.default.svc.cluster.local';
    expect(await resolver.resolve4(name, { ttl: true })).to.deep.equal([
      { address: '10.96.0.7', ttl: 5 },
    ]);
    expect(await resolver.resolve4('db.default.svc.cluster.local')).to.have.length(200);
    const [record, ...others] = await resolver.resolveSrv(`_http._tcp.${name}`);
    expect(record).to.deep.include({ name, port: 80, priority: 0, weight: 100 });
    expect(others).to.deep.equal([]);
    expect(await resolver.reverse('10.96.0.7')).to.deep.equal([name]);
    expect(await resolver.resolveTxt('dns-version.cluster.local')).to.deep.equal([['1.1.0']]);
    const codeOf = (asked: Promise<unknown>): Promise<unknown> =>
      asked.catch((error: unknown) => (error as { code: string }).code);
    expect(await codeOf(resolver.resolve6(name))).to.equal('ENODATA');
    expect(await codeOf(resolver.resolve4(`x.${name}`))).to.equal('ENOTFOUND');
    expect(await codeOf(resolver.resolve4('example.com'))).to.equal('EREFUSED');
    await server.stop();
    await informers.stop();
  });
});
