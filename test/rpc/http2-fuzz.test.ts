/** Random damage to valid sessions: other clients are served and nothing is left behind. */
import { expect } from 'chai';
import { Flag, FrameType, PREFACE, Setting } from '../../src/rpc/http2/frames.js';
import type { Method, StreamCall } from '../../src/rpc/service.js';
import { Child } from './support/child.js';
import type { ClientsOrder, ClientsReport } from './support/idle-clients-main.js';
import type { ServerOrder, ServerReport } from './support/idle-server-main.js';
import {
  dataFrame,
  frame,
  headersFrame,
  message,
  RawClient,
  request,
  requestBlock,
  settings,
  startRawServer,
  u32,
  type RawServer,
} from './support/raw-client.js';
import { until } from './support/transports.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
const SESSIONS = Number(process.env['SESSIONS'] ?? 300);
const IDLE_CONNECTIONS = 10_000;
const WARM_CONNECTIONS = 250;
/** Generous: memory of the process includes what the collector has not given back. */
const MAX_BYTES_PER_CONNECTION = 40 * 1024;

/** Small deterministic generator (mulberry32). */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const ECHO = '/test.Svc/Echo';
const GZIP = [['grpc-encoding', 'gzip']] as const;
const STREAM = '/test.Svc/Stream';

describe(`Http2Transport: random sessions (SEED=${SEED})`, () => {
  let server: RawServer;
  let running = 0;
  let streams = new Set<StreamCall>();

  const table = new Map<string, Method>([
    [ECHO, { kind: 'unary', handle: (body, call) => call.reply(body.slice()) }],
    [
      STREAM,
      {
        kind: 'stream',
        streamType: 'bidi_stream',
        handle: (call) => {
          running++;
          streams.add(call);
          const over = (): void => {
            running--;
            streams.delete(call);
          };
          call.onCancel(over);
          call.onMessage((body) => call.write(body.slice()));
          call.onHalfClose(() => {
            over();
            call.end();
          });
        },
      },
    ],
  ]);

  /** One frame that makes sense more often than not. */
  function randomFrame(random: (below: number) => number): Buffer {
    const streamId = random(6) * 2 + 1;
    const body = message(Buffer.alloc(random(40), random(256)));
    switch (random(14)) {
      case 0:
      case 1:
        return request(streamId, ECHO, Buffer.alloc(random(3000)));
      case 2:
      case 3:
        return headersFrame(streamId, random(2) === 0 ? STREAM : ECHO, random(3) === 0 ? GZIP : []);
      case 4:
      case 5:
        return dataFrame(streamId, body, random(3) === 0);
      case 6:
        return dataFrame(streamId, body.subarray(0, random(body.length)), random(2) === 0);
      case 7:
        return frame(FrameType.rstStream, 0, streamId, u32(random(14)));
      case 8:
        return frame(FrameType.windowUpdate, 0, random(2) * streamId, u32(random(2 ** 31)));
      case 9:
        return settings([random(8), random(2) === 0 ? random(70_000) : random(2 ** 32)]);
      case 10:
        return frame(FrameType.ping, random(2), 0, Buffer.alloc(8, random(256)));
      case 11: {
        const block = requestBlock(ECHO);
        const cut = random(block.length);
        return Buffer.concat([
          frame(FrameType.headers, random(2), streamId, block.subarray(0, cut)),
          frame(FrameType.continuation, Flag.endHeaders, streamId, block.subarray(cut)),
        ]);
      }
      case 12:
        return frame(random(256), random(256), random(12), Buffer.alloc(random(60), random(256)));
      default:
        return settings([Setting.initialWindowSize, random(200)]);
    }
  }

  function randomSession(random: (below: number) => number): Buffer {
    const parts = [PREFACE, settings()];
    for (let n = random(25); n >= 0; n--) parts.push(randomFrame(random));
    const session = Buffer.concat(parts);
    if (random(2) === 0) {
      for (let n = random(6); n > 0; n--) session[random(session.length)] = random(256);
    }
    return session.subarray(0, random(4) === 0 ? random(session.length) : session.length);
  }

  before(async () => {
    server = await startRawServer(table);
  });

  after(async () => {
    await server.close();
  });

  it('serves others during and after, and forgets every call and connection', async () => {
    const random = generator(SEED);
    const witness = await RawClient.open(server.port);
    for (let n = 0; n < SESSIONS; n++) {
      const client = await RawClient.connect(server.port);
      const session = randomSession(random);
      let at = 0;
      while (at < session.length) {
        const size = random(3) === 0 ? 1 + random(20) : session.length;
        client.send(session.subarray(at, at + size));
        at += size;
        if (random(3) === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      if (random(2) === 0) client.socket.end();
      const streamId = n * 2 + 1;
      witness.send(request(streamId, ECHO, Buffer.from(`session ${n}`)));
      const { body } = await witness.reply(streamId);
      expect(body.toString('latin1', 5)).to.equal(`session ${n}`);
      witness.send(frame(FrameType.windowUpdate, 0, 0, u32(body.length)));
      for (const call of streams) call.write(Buffer.alloc(random(40_000), 'x'));
      client.close();
    }
    await until(() => server.transport.connectionCount === 1, 'connections are forgotten');
    await until(() => running === 0, 'calls are forgotten');
    witness.close();
    streams = new Set();
  });
});

describe('Http2Transport: idle connections', () => {
  let clients: Child<ClientsOrder, ClientsReport> | undefined;
  let server: Child<ServerOrder, ServerReport> | undefined;

  afterEach(async () => {
    await Promise.all([clients?.kill(), server?.kill()]);
  });

  it(`holds ${IDLE_CONNECTIONS} at a bounded price, and serves calls on them`, async () => {
    const descriptors = IDLE_CONNECTIONS + 500;
    const serverProcess = (server = new Child('idle-server-main.ts', descriptors));
    const clientProcess = (clients = new Child('idle-clients-main.ts', descriptors));
    const ask = (kind: ServerOrder['kind'], advanceMs = 0): Promise<ServerReport> =>
      serverProcess.ask({ kind, advanceMs });
    const { port } = await ask('report');
    const order = { port, count: WARM_CONNECTIONS, every: 97, path: ECHO };
    const tell = async (kind: ClientsOrder['kind'], count: number): Promise<ClientsReport> => {
      const report = await clientProcess.ask({ ...order, kind, count });
      expect(report.error).to.equal('');
      return report;
    };
    // The first ones pay for code and pools.
    await tell('open', WARM_CONNECTIONS);
    const before = await ask('report');
    expect(before.connections).to.equal(WARM_CONNECTIONS);
    await tell('open', IDLE_CONNECTIONS);
    for (let n = 0; n < 10; n++) await ask('advance', 60_000);
    const after = await ask('report');
    expect(after.connections).to.equal(IDLE_CONNECTIONS);
    const each = (after.rssBytes - before.rssBytes) / (IDLE_CONNECTIONS - WARM_CONNECTIONS);
    expect(each).to.be.lessThan(MAX_BYTES_PER_CONNECTION);
    const { open, answered } = await tell('call', IDLE_CONNECTIONS);
    expect(open).to.equal(IDLE_CONNECTIONS);
    expect(answered).to.equal(Math.ceil(IDLE_CONNECTIONS / order.every));
    await tell('close', IDLE_CONNECTIONS);
    let left = await ask('report');
    while (left.connections > 0) left = await ask('report');
    await ask('stop');
  });
});
