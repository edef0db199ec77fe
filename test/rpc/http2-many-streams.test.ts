/** Connections with very many streams, and floods: counted in work done and in what one turn of the event loop does. */
import { expect } from 'chai';
import type { Timer } from '../../src/base/env/env.js';
import {
  CANCELS_PER_STEP,
  FRAMES_PER_LOOK,
  READ_SHARE_MS,
  READ_TURN_MS,
} from '../../src/rpc/http2/limits.js';
import type { Method } from '../../src/rpc/service.js';
import type { TransportEnv } from '../../src/rpc/transport.js';
import {
  headersFrame,
  RawClient,
  request,
  startRawServer,
  type RawServer,
} from './support/raw-client.js';
import { until } from './support/transports.js';

const HOLD = '/test.Svc/Hold';
const FLOOD = '/test.Svc/Flood';
const OTHER = '/test.Svc/Other';
/** Cost of a handler by the clock of these tests. */
const HANDLER_MS = 0.125;
/** SlicedWork gives all of its work 2 ms of a turn, in shares of 0.25 ms. */
const CANCEL_TURN_MS = 2.25;

/** A clock that stands still except while handlers work, and a count of turns. */
class WorkEnv implements TransportEnv {
  private nowMs = 1000;
  turn = 0;
  /** Most units of work in one turn, and those of the turn at hand. */
  mostInTurn = 0;
  private inTurn = 0;
  private counted = -1;

  readonly clock = { monoMs: (): number => this.nowMs, wallMs: (): number => this.nowMs };

  after(): Timer {
    return { cancel: () => {} };
  }

  defer(callback: () => void): void {
    setImmediate(() => {
      this.turn++;
      callback();
    });
  }

  work(): void {
    this.nowMs += HANDLER_MS;
    this.inTurn = this.counted === this.turn ? this.inTurn + 1 : 1;
    this.counted = this.turn;
    this.mostInTurn = Math.max(this.mostInTurn, this.inTurn);
  }
}

describe('Http2Transport: many streams', () => {
  let env: WorkEnv;
  let server: RawServer;
  let served: string[];
  let cancelled: number;
  const clients: RawClient[] = [];

  const serve = (path: string): [string, Method] => [
    path,
    {
      kind: 'unary',
      handle: (_request, call) => {
        env.work();
        served.push(path);
        call.reply(Buffer.alloc(0));
      },
    },
  ];
  const table = new Map<string, Method>([
    [
      HOLD,
      {
        kind: 'stream',
        streamType: 'bidi_stream',
        handle: (call) => {
          call.onCancel(() => {
            env.work();
            cancelled++;
          });
        },
      },
    ],
    serve(FLOOD),
    serve(OTHER),
  ]);

  async function connect(): Promise<RawClient> {
    const client = await RawClient.open(server.port);
    clients.push(client);
    return client;
  }

  beforeEach(async () => {
    env = new WorkEnv();
    served = [];
    cancelled = 0;
    server = await startRawServer(table, { maxConcurrentStreams: 1_000_000 }, { env });
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await server.close();
  });

  it('cancels the streams of a connection that ends over many turns', async () => {
    const streams = 3000;
    const client = await connect();
    const openings: Buffer[] = [];
    for (let n = 0; n < streams; n++) openings.push(headersFrame(2 * n + 1, HOLD));
    client.send(...openings, request(2 * streams + 1, OTHER, Buffer.alloc(0)));
    await until(() => served.length === 1, 'all streams are open');
    client.close();
    await until(() => cancelled === streams, 'all streams are cancelled');
    expect(env.mostInTurn).to.be.at.most(CANCEL_TURN_MS / HANDLER_MS + CANCELS_PER_STEP);
    await until(() => server.transport.connectionCount === 0, 'the connection is forgotten');
  });

  it('stops once the calls of every connection have been cancelled', async () => {
    const client = await connect();
    for (let n = 0; n < 200; n++) client.send(headersFrame(2 * n + 1, HOLD));
    client.send(request(401, OTHER, Buffer.alloc(0)));
    await until(() => served.length === 1, 'all streams are open');
    client.close();
    await new Promise<void>((resolve) => server.transport.stop(0, resolve));
    expect(cancelled).to.equal(200);
  });

  it('reads a flood over many turns, and serves another client meanwhile', async () => {
    const calls = 4000;
    const flooding = await connect();
    const other = await connect();
    const requests: Buffer[] = [];
    for (let n = 0; n < calls; n++) requests.push(request(2 * n + 1, FLOOD, Buffer.alloc(0)));
    flooding.send(...requests);
    await until(() => served.length > 0, 'the flood has begun');
    other.send(request(1, OTHER, Buffer.alloc(0)));
    await other.reply(1);
    expect(served.indexOf(OTHER)).to.be.lessThan(calls / 2);
    await flooding.reply(2 * calls - 1);
    expect(served).to.have.length(calls + 1);
    // One look at the clock more than the time allows, on each of two connections.
    expect(env.mostInTurn).to.be.at.most(READ_TURN_MS / HANDLER_MS + 2 * FRAMES_PER_LOOK);
  });

  it('lets connections that flood take turns', async () => {
    const calls = 2000;
    const flooding = [await connect(), await connect(), await connect()];
    const requests: Buffer[] = [];
    for (let n = 0; n < calls; n++) requests.push(request(2 * n + 1, FLOOD, Buffer.alloc(0)));
    for (const client of flooding) client.send(...requests);
    await Promise.all(flooding.map((client) => client.reply(2 * calls - 1)));
    expect(served).to.have.length(3 * calls);
    const share = READ_SHARE_MS / HANDLER_MS + FRAMES_PER_LOOK;
    expect(env.mostInTurn).to.be.at.most(READ_TURN_MS / HANDLER_MS + 3 * share);
  });

  it('forgets a flood whose client vanished', async () => {
    const client = await connect();
    const requests: Buffer[] = [];
    for (let n = 0; n < 1000; n++) requests.push(request(2 * n + 1, FLOOD, Buffer.alloc(0)));
    client.send(...requests);
    await until(() => served.length > 0, 'the flood has begun');
    client.close();
    await until(() => server.transport.connectionCount === 0, 'the connection is forgotten');
  });
});
