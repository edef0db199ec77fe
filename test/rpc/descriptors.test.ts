/** A process with few file descriptors keeps enough of them for its files, however many clients connect. */
import { expect } from 'chai';
import { FrameType } from '../../src/rpc/http2/frames.js';
import type { BoundedOrder, BoundedReport } from './support/bounded-server-main.js';
import { Child } from './support/child.js';
import { RawClient, request } from './support/raw-client.js';
import { until } from './support/transports.js';

const DESCRIPTORS = 220;
const BOUND = DESCRIPTORS - 150;
const CLIENTS = 400;

describe('a process with 220 file descriptors', () => {
  let child: Child<BoundedOrder, BoundedReport> | undefined;
  const clients: RawClient[] = [];

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await child?.kill();
  });

  /** Connects so many clients, and waits until each is greeted or turned away. */
  async function connect(port: number, count: number): Promise<void> {
    const opened = await Promise.all(Array.from({ length: count }, () => RawClient.open(port)));
    clients.push(...opened);
    await until(
      () => opened.every((each) => each.ended || each.closed || each.count(FrameType.settings) > 0),
      'every client is greeted or turned away',
    );
  }

  const greeted = (): RawClient[] =>
    clients.filter((each) => !each.closed && each.count(FrameType.settings) > 0);

  it('serves 70 of 400 clients, opens its files, and takes others when some leave', async () => {
    const served = (child = new Child('bounded-server-main.ts', DESCRIPTORS, 'atMost'));
    const { port, limit, bound } = await served.ask({ kind: 'report' });
    expect(limit).to.equal(DESCRIPTORS);
    expect(bound).to.equal(BOUND);
    await connect(port, CLIENTS);
    expect(greeted()).to.have.length(BOUND);
    expect((await served.ask({ kind: 'openFiles' })).failure).to.equal(undefined);
    const [first] = greeted();
    first?.send(request(1, '/test.Svc/Echo', Buffer.from('still')));
    expect((await first?.reply(1))?.body.toString('latin1', 5)).to.equal('still');

    for (const client of greeted().slice(0, 10)) client.close();
    let open = BOUND;
    while (open > BOUND - 10) open = (await served.ask({ kind: 'report' })).open;
    await connect(port, 20);
    expect((await served.ask({ kind: 'report' })).open).to.equal(BOUND);
    expect((await served.ask({ kind: 'openFiles' })).failure).to.equal(undefined);
  });
});
