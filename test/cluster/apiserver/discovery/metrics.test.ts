import { expect } from 'chai';
import { Histogram } from '../../../../src/base/observe/histogram.js';
import { metricsStep } from '../../../../src/cluster/apiserver/discovery/metrics.js';
import { InFlight } from '../../../../src/cluster/apiserver/http/in-flight.js';
import { RequestMetrics } from '../../../../src/cluster/apiserver/http/request-metrics.js';
import { requestInfo } from '../../../../src/cluster/apiserver/pipeline/request-info.js';
import { parseExposition } from '../../../support/exposition.js';
import { exchangeOf, run } from '../exchange.js';

describe('cluster/apiserver/discovery/metrics', () => {
  it('shows what was counted under the names of Kubernetes', async () => {
    const requests = new RequestMetrics(() => true);
    const none = new URLSearchParams();
    const info = requestInfo('PATCH', '/apis/apps/v1/namespaces/d/deployments/web/scale', none);
    requests.answered(info, 200, 0.03);
    requests.answered(info, 409, 0.3);
    const exec = requestInfo('GET', '/api/v1/namespaces/d/pods/p/exec', none);
    requests.longRunning(exec);
    requests.longRunning(exec)();
    const inFlight = new InFlight({ maxReads: 1, maxMutations: 1 });
    inFlight.begin('list', false);
    const seconds = new Histogram([0.1, 1]);
    seconds.observe(0.5);
    const step = metricsStep(
      {
        requests,
        inFlight,
        storedObjects: () => [['pods', 3]],
        storeDurations: () => [{ operation: 'create', type: 'pods', seconds }],
      },
      () => '# HELP more_total More.\n# TYPE more_total counter\nmore_total 1\n',
    );
    const { code, body } = await run(step, exchangeOf({ path: '/metrics' }));
    expect(code).to.equal(200);
    const families = parseExposition(String(body));
    const value = (family: string, labels: Record<string, string>): number | undefined =>
      families
        .get(family)
        ?.samples.find((sample) =>
          Object.entries(labels).every(([name, text]) => sample.labels.get(name) === text),
        )?.value;
    const web = { verb: 'PATCH', group: 'apps', resource: 'deployments', subresource: 'scale' };
    expect(value('apiserver_request_total', { ...web, scope: 'resource', code: '409' })).to.equal(
      1,
    );
    expect(value('apiserver_request_duration_seconds', { ...web, le: '0.05' })).to.equal(1);
    expect(value('apiserver_request_duration_seconds', { ...web, le: '+Inf' })).to.equal(2);
    expect(value('apiserver_longrunning_requests', { verb: 'CONNECT' })).to.equal(1);
    expect(value('apiserver_current_inflight_requests', { request_kind: 'readOnly' })).to.equal(1);
    expect(value('apiserver_storage_objects', { resource: 'pods' })).to.equal(3);
    expect(
      value('etcd_request_duration_seconds', { operation: 'create', type: 'pods', le: '1' }),
    ).to.equal(1);
    expect(value('more_total', {})).to.equal(1);
  });
});
