import { expect } from 'chai';
import * as net from 'node:net';
import {
  ConnectionBudget,
  connectionBound,
  descriptorLimit,
  parseDescriptorLimit,
} from '../../../src/base/net/descriptors.js';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import type { Logger, LogFields } from '../../../src/base/observe/logger.js';
import { until } from '../../support/until.js';

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units     
Max processes             7823                 7823                 processes 
Max open files            1024                 524288               files     
Max locked memory         8388608              8388608              bytes     
`;

describe('descriptors', () => {
  it('reads the soft limit', () => {
    expect(parseDescriptorLimit(LIMITS)).to.equal(1024);
    expect(parseDescriptorLimit(LIMITS.replace('1024  ', 'unlimited'))).to.equal(undefined);
    expect(parseDescriptorLimit('')).to.equal(undefined);
    const own = descriptorLimit();
    if (process.platform === 'linux') expect(own).to.be.greaterThan(0);
    else expect(own).to.equal(undefined);
  });

  it('keeps 150 of them back', () => {
    expect(connectionBound(1024)).to.equal(874);
    expect(connectionBound(158)).to.equal(8);
    expect(connectionBound(undefined)).to.equal(Infinity);
    for (const limit of [0, 150, 157]) {
      expect(() => connectionBound(limit))
        .to.throw(StartupError, `the limit of ${limit} file descriptors is too low`)
        .with.property('nextStep')
        .that.contains('set it to 158 at least');
    }
  });
});

describe('ConnectionBudget', () => {
  let nowMs = 0;
  let lines: (LogFields | undefined)[] = [];
  const log = { warn: (_text: string, fields?: LogFields) => void lines.push(fields) } as Logger;
  const clock = { monoMs: () => nowMs, wallMs: () => nowMs };
  const servers: net.Server[] = [];
  const clients: net.Socket[] = [];

  beforeEach(() => {
    nowMs = 0;
    lines = [];
  });

  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy();
    for (const server of servers.splice(0)) server.close();
  });

  async function listen(budget: ConnectionBudget): Promise<number> {
    const server = net.createServer(budget.guard((socket) => socket.write('hello')));
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** True when the server accepts the connection, false when it closes it. */
  function connect(port: number): Promise<boolean> {
    const socket = net.connect(port, '127.0.0.1');
    clients.push(socket);
    socket.on('error', () => {});
    return new Promise((resolve) => {
      socket.once('data', () => resolve(true));
      socket.once('close', () => resolve(false));
    });
  }

  it('bounds the connections of all listeners, and accepts again when one ends', async () => {
    const budget = new ConnectionBudget('clients', 3, log, clock);
    const [one, two] = [await listen(budget), await listen(budget)];
    expect(await connect(one)).to.equal(true);
    expect(await connect(two)).to.equal(true);
    expect(await connect(one)).to.equal(true);
    expect(await connect(one)).to.equal(false);
    expect(await connect(two)).to.equal(false);
    expect(budget.open).to.equal(3);
    clients[0]?.destroy();
    await until(() => budget.open === 2);
    expect(await connect(two)).to.equal(true);
    expect(await connect(one)).to.equal(false);
  });

  it('logs once a minute the number it closed', async () => {
    const port = await listen(new ConnectionBudget('clients', 1, log, clock));
    await connect(port);
    for (let n = 0; n < 3; n++) await connect(port);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include({ 'open-connections': 1, 'refused-connections': 1 });
    nowMs += 59_999;
    await connect(port);
    expect(lines).to.have.length(1);
    nowMs += 1;
    await connect(port);
    expect(lines).to.have.length(2);
    expect(lines[1]).to.include({ 'open-connections': 1, 'refused-connections': 4 });
  });
});
