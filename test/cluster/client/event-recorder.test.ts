import { expect } from 'chai';
import { silentLogger, type Logger } from '../../../src/base/observe/logger.js';
import { apiError } from '../../../src/cluster/api/status.js';
import { TransportError } from '../../../src/cluster/client/client.js';
import { EventRecorder } from '../../../src/cluster/client/event-recorder.js';
import { EVENTS } from '../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../src/cluster/client/rest-client.js';
import type { Event, ObjectReference } from '../../../src/gen/kube-core-v1.js';
import { FakeApi } from '../../support/fake-api/fake-api.js';
import { VirtualTime } from '../../support/virtual-time.js';

const WEB: ObjectReference = {
  kind: 'Deployment',
  namespace: 'default',
  name: 'web',
  uid: 'u1',
  apiVersion: 'apps/v1',
  resourceVersion: '7',
};

class Bench {
  readonly time = new VirtualTime();
  readonly api = new FakeApi(this.time);
  readonly lines: string[] = [];
  readonly recorder: EventRecorder;

  constructor(host?: string) {
    const log: Logger = { ...silentLogger, warn: (text) => this.lines.push(text) };
    const component = 'deployment-controller';
    const options = { env: this.time, log, client: restClient(this.api), component };
    this.recorder = new EventRecorder({ ...options, ...(host === undefined ? {} : { host }) });
  }

  say(message: string, about = WEB): void {
    this.recorder.event(about, 'Normal', 'ScalingReplicaSet', message);
  }

  async events(): Promise<Event[]> {
    await this.time.settle();
    return this.api.list(EVENTS);
  }
}

describe('event recorder', () => {
  it('writes an event as the real controllers do', async () => {
    const bench = new Bench();
    bench.say('Scaled up');
    const [event, ...more] = await bench.events();
    expect(more).to.deep.equal([]);
    const { name, namespace } = event?.metadata ?? {};
    expect(name).to.match(/^web\.[0-9a-f]{15,16}$/);
    expect(namespace).to.equal('default');
    expect({ ...event, metadata: {} }).to.deep.equal({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: {},
      involvedObject: WEB,
      reason: 'ScalingReplicaSet',
      message: 'Scaled up',
      source: { component: 'deployment-controller' },
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
      count: 1,
      type: 'Normal',
      reportingComponent: 'deployment-controller',
      reportingInstance: '',
    });
  });

  it('puts what is in no namespace into default, with the host', async () => {
    const bench = new Bench('n1');
    bench.say('Starting kubelet.', { kind: 'Node', name: 'n1', uid: 'n1' });
    const [event] = await bench.events();
    expect(event?.metadata.namespace).to.equal('default');
    expect(event?.source).to.deep.equal({ component: 'deployment-controller', host: 'n1' });
    expect(event?.reportingInstance).to.equal('n1');
  });

  it('counts the same event, and writes it anew when it has vanished', async () => {
    const bench = new Bench();
    bench.say('Scaled up');
    await bench.time.advance(60_000);
    bench.say('Scaled up');
    bench.say('Scaled down');
    const [first, second] = await bench.events();
    expect(first).to.include({
      message: 'Scaled up',
      count: 2,
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:01:00Z',
    });
    expect(second).to.include({ message: 'Scaled down', count: 1 });
    for (const event of [first, second]) bench.api.remove(EVENTS, event ?? expect.fail());
    bench.say('Scaled up');
    const [again] = await bench.events();
    expect(again).to.include({ count: 3, firstTimestamp: '2026-01-01T00:00:00Z' });
    expect(again?.metadata.name).to.equal(first?.metadata.name);
  });

  it('tells objects, reasons and types apart', async () => {
    const bench = new Bench();
    bench.say('same');
    bench.say('same', { ...WEB, uid: 'u2' });
    bench.recorder.event(WEB, 'Warning', 'ScalingReplicaSet', 'same');
    bench.recorder.event(WEB, 'Normal', 'Other', 'same');
    expect((await bench.events()).map(({ count }) => count)).to.deep.equal([1, 1, 1, 1]);
  });

  it('makes many similar events one, until they have been rare for ten minutes', async () => {
    const bench = new Bench();
    for (let i = 1; i <= 15; i += 1) bench.say(`message ${i}`);
    const events = await bench.events();
    expect(events).length(11);
    expect(events.at(-1)).to.include({
      message: '(combined from similar events): message 15',
      count: 5,
    });
    await bench.time.advance(600_001);
    bench.say('message 16');
    expect((await bench.events()).at(-1)).to.include({ message: 'message 16', count: 1 });
  });

  it('cuts off an object with too many events: 25, then one in 5 minutes', async () => {
    const bench = new Bench();
    for (let i = 0; i < 40; i += 1) bench.recorder.event(WEB, 'Normal', `Reason${i}`, 'message');
    bench.say('another object', { ...WEB, uid: 'u2' });
    expect(await bench.events()).length(26);
    await bench.time.advance(299_000);
    bench.recorder.event(WEB, 'Normal', 'TooEarly', 'message');
    await bench.time.advance(1000);
    bench.recorder.event(WEB, 'Normal', 'InTime', 'message');
    const reasons = (await bench.events()).map(({ reason }) => reason);
    expect(reasons).to.include('InTime').and.not.include('TooEarly');
  });

  it('tries again while the server is away, and gives up what it refuses', async () => {
    const bench = new Bench();
    let isAway = true;
    bench.api.intercept(() => {
      if (isAway) throw new TransportError('connection refused');
      return undefined;
    });
    bench.say('waits');
    await bench.time.advance(60_000);
    isAway = false;
    await bench.time.run(bench.recorder.flush());
    expect(await bench.events()).length(1);
    bench.api.intercept(() => {
      throw apiError(403, 'Forbidden', 'namespace is being terminated');
    });
    bench.say('refused');
    expect(await bench.events()).length(1);
    expect(bench.lines).to.deep.equal(['event not written']);
  });

  it('gives up an event after 12 tries', async () => {
    const bench = new Bench();
    bench.api.intercept(() => {
      throw new TransportError('connection refused');
    });
    bench.say('lost');
    await bench.time.run(bench.recorder.flush());
    expect(bench.api.calls).length(12);
    expect(bench.lines).to.deep.equal(['event not written']);
  });

  it('holds no more than a thousand events, and none after its end', async () => {
    const bench = new Bench();
    bench.api.intercept(() => {
      throw new TransportError('connection refused');
    });
    bench.say('being written');
    await bench.time.settle();
    for (let i = 0; i < 1002; i += 1) bench.say(`message ${i}`);
    expect(bench.lines).to.deep.equal(Array(2).fill('event dropped, too many wait'));
    await bench.time.run(bench.recorder.stop());
    const calls = bench.api.calls.length;
    bench.say('after the end');
    await bench.time.advance(600_000);
    expect(bench.api.calls).length(calls);
    expect(bench.time.pendingTimers).to.equal(0);
  });
});
