/** Compressed requests: long ones are unpacked off the event loop, and order, limits and ends stay as they are. */
import { expect } from 'chai';
import { gzipSync } from 'node:zlib';
import { GzipWorkers } from '../../src/rpc/http2/gzip.js';
import { Inbox } from '../../src/rpc/http2/inbox.js';
import type { MessageSink } from '../../src/rpc/http2/inbox.js';
import { GZIP_NOW_MAX_BYTES } from '../../src/rpc/http2/limits.js';
import type { RpcError } from '../../src/rpc/service.js';
import { CallRecorder, ECHO, STREAM } from './support/call-recorder.js';
import {
  dataFrame,
  headersFrame,
  ManualEnv,
  message,
  RawClient,
  startRawServer,
  type RawServer,
} from './support/raw-client.js';
import { until } from './support/transports.js';

const MIB = 1024 * 1024;
const LONG = Buffer.alloc(MIB, 'long ');

class Sink implements MessageSink {
  readonly messages: Uint8Array[] = [];
  readonly refusals: string[] = [];
  ended = false;
  timesEmptied = 0;

  onWholeMessage(each: Uint8Array): void {
    this.messages.push(Uint8Array.from(each));
  }
  onBadMessage(refusal: RpcError): void {
    this.refusals.push(`${refusal.code} ${refusal.message}`);
    this.ended = true;
  }
  onAllHandedOut(): void {
    this.timesEmptied++;
  }
}

describe('Inbox: compressed messages', () => {
  let sink: Sink;

  function inboxOf(maxBytes = 2 * MIB): Inbox {
    sink = new Sink();
    return new Inbox(sink, new GzipWorkers(new ManualEnv()), maxBytes, 'gzip');
  }

  function push(inbox: Inbox, body: Uint8Array, flag: number): RpcError | undefined {
    const bytes = message(body, flag);
    return inbox.push(bytes, 0, bytes.length);
  }

  it('unpacks a short message at once', () => {
    const body = Buffer.alloc(GZIP_NOW_MAX_BYTES, 'x');
    push(inboxOf(), gzipSync(body), 1);
    expect(sink.messages).to.eql([Uint8Array.from(body)]);
  });

  it('unpacks only so many short messages in one turn of the event loop', () => {
    const inbox = inboxOf();
    const packed = gzipSync(Buffer.alloc(GZIP_NOW_MAX_BYTES, 'x'));
    for (let n = 0; n < 100; n++) push(inbox, packed, 1);
    expect(sink.messages.length).to.be.within(1, 4);
  });

  it('unpacks a long message in the thread pool, and keeps the order', async () => {
    const inbox = inboxOf();
    push(inbox, gzipSync(LONG), 1);
    push(inbox, Buffer.from('plain'), 0);
    push(inbox, gzipSync(Buffer.from('short')), 1);
    expect(sink.messages).to.eql([]);
    expect(inbox.holds).to.equal(true);
    expect(inbox.bufferedBytes).to.be.lessThan(MIB / 2);
    await until(() => sink.timesEmptied === 1, 'all are handed out');
    expect(sink.messages.map((each) => each.length)).to.eql([MIB, 5, 5]);
    expect(inbox.bufferedBytes).to.equal(0);
  });

  it('does not trust the announced length of a message', async () => {
    const inbox = inboxOf();
    // Two members: the trailer is that of the second, which is short.
    const packed = Buffer.concat([gzipSync(LONG), gzipSync(Buffer.from('!'))]);
    push(inbox, packed, 1);
    expect(sink.messages).to.eql([]);
    await until(() => sink.messages.length === 1, 'it is handed out');
    expect(sink.messages[0]).to.have.length(MIB + 1);
  });

  for (const [what, packed, maxBytes, refusal] of [
    [
      'too long',
      gzipSync(LONG),
      2000,
      '8 grpc: received message after decompression larger than max 2000',
    ],
    [
      'broken',
      gzipSync(LONG).fill(0xff, 100, 200),
      2 * MIB,
      '13 grpc: failed to decompress the received message',
    ],
  ] as const) {
    it(`refuses a message that is ${what} once it is unpacked in the thread pool`, async () => {
      const inbox = inboxOf(maxBytes);
      push(inbox, packed, 1);
      push(inbox, Buffer.from('next'), 0);
      await until(() => sink.refusals.length > 0, 'it is refused');
      expect(sink.refusals).to.eql([refusal]);
      expect(sink.messages).to.eql([]);
    });
  }

  it('refuses at once a fault that shows at once', () => {
    expect(push(inboxOf(), Buffer.from('not gzip at all\0\0\0\0'), 1)?.code).to.equal(13);
    expect(push(inboxOf(99), gzipSync(Buffer.alloc(100)), 1)?.message).to.equal(
      'grpc: received message after decompression larger than max 99',
    );
  });

  it('keeps messages packed while the handler takes none', async () => {
    const inbox = inboxOf();
    inbox.paused = true;
    push(inbox, gzipSync(LONG), 1);
    push(inbox, gzipSync(LONG), 1);
    expect(inbox.bufferedBytes).to.be.lessThan(MIB / 2);
    inbox.paused = false;
    inbox.release();
    await until(() => sink.messages.length === 2, 'both are handed out');
  });

  it('does not unpack for a call that has ended', async () => {
    const inbox = inboxOf();
    push(inbox, gzipSync(LONG), 1);
    sink.ended = true;
    let isDone = false;
    expect(inbox.start(() => (isDone = true))).to.equal(false);
    expect(isDone).to.equal(false);
  });
});

describe('Http2Transport: compressed requests', () => {
  const calls = new CallRecorder();
  let server: RawServer;
  let client: RawClient;

  beforeEach(async () => {
    calls.clear();
    server = await startRawServer(calls.table, { maxReceiveBytes: 2 * MIB });
    client = await RawClient.open(server.port);
  });

  afterEach(async () => {
    client.close();
    await server.close();
  });

  function open(streamId: number, path: string): void {
    client.send(
      headersFrame(streamId, path, [
        ['grpc-encoding', 'gzip'],
        ['grpc-accept-encoding', 'identity'],
      ]),
    );
  }

  it('starts a unary call once its request is unpacked', async () => {
    const body = Buffer.alloc(40_000, 'request ');
    open(1, ECHO);
    client.send(dataFrame(1, message(gzipSync(body), 1), true));
    const reply = await client.reply(1);
    expect(reply.headers.get('grpc-status')).to.equal('0');
    expect(reply.body.subarray(5)).to.eql(body);
  });

  it('refuses a second request behind one that is being unpacked', async () => {
    open(1, ECHO);
    const packed = message(gzipSync(LONG), 1);
    client.send(dataFrame(1, packed, false), dataFrame(1, message(Buffer.from('two')), true));
    expect((await client.reply(1)).headers.get('grpc-message')).to.equal(
      'unary call received a second request message',
    );
  });

  it('reports the half-close after the messages, and counts none for streams that are gone', async () => {
    open(1, STREAM);
    for (let n = 0; n < 3; n++) client.send(dataFrame(1, message(gzipSync(LONG), 1), false));
    client.send(dataFrame(1, message(Buffer.from('last')), true));
    expect((await client.reply(1)).headers.get('grpc-status')).to.equal('0');
    expect(calls.received.map((each) => each.length)).to.eql([MIB, MIB, MIB, 4]);
  });
});
