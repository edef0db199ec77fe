import { expect } from 'chai';
import fc from 'fast-check';
import { once } from 'node:events';
import { constants, createDeflate } from 'node:zlib';
import {
  controlFrame,
  dataFrame,
  FrameReader,
  FrameType,
  RstStatus,
  rstStream,
} from '../../../src/cluster/streams/spdy-frames.js';
import {
  HeaderBlockError,
  HeaderReader,
  HeaderWriter,
  MAX_HEADER_BYTES,
  presetDictionary,
} from '../../../src/cluster/streams/spdy-headers.js';
import { SpdySession, type SpdyStream } from '../../../src/cluster/streams/spdy-session.js';
import { until } from '../../support/until.js';
import { duplexPair } from './duplex-pair.js';
import { SpdyClient } from './spdy-client.js';

/** A block before compression. */
function pairs(headers: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(headers);
  const parts = entries.flat().map((text) => {
    const bytes = Buffer.alloc(4 + Buffer.byteLength(text));
    bytes.writeUInt32BE(bytes.length - 4);
    bytes.write(text, 4);
    return bytes;
  });
  const count = Buffer.alloc(4);
  count.writeUInt32BE(entries.length);
  return Buffer.concat([count, ...parts]);
}

describe('cluster/streams/spdy header blocks', () => {
  it('reads one zlib stream with the preset dictionary, flushed after each block', async () => {
    const deflate = createDeflate({ dictionary: presetDictionary() });
    const reader = new HeaderReader();
    // The later blocks repeat the earlier ones, so that zlib refers back to them.
    const blocks = [1, 2, 3].map((n) => ({
      streamtype: 'data',
      port: '8080',
      requestid: String(n),
      'some-long-name-of-a-header': 'some long value of a header'.repeat(n),
    }));
    const sizes: number[] = [];
    for (const headers of blocks) {
      deflate.write(pairs(headers));
      const flushed = new Promise<void>((done) => {
        deflate.flush(constants.Z_SYNC_FLUSH, () => done());
      });
      await flushed;
      const block = deflate.read() as Buffer;
      sizes.push(block.length);
      expect(Object.fromEntries(reader.read(block))).to.deep.equal(headers);
    }
    expect(sizes[1]).to.be.lessThan(sizes[0] ?? 0);
  });

  it('reads what its writer wrote', () => {
    fc.assert(
      fc.property(fc.array(fc.dictionary(fc.string(), fc.string())), (blocks) => {
        const writer = new HeaderWriter();
        const reader = new HeaderReader();
        for (const block of blocks) {
          const headers = new Map(
            Object.entries(block).map(([name, value]) => [name.toLowerCase(), value]),
          );
          expect(reader.read(writer.write(headers))).to.deep.equal(headers);
        }
      }),
    );
  });

  it('refuses what is no block of SPDY/3, and blocks that grow without measure', () => {
    const refused = (block: Uint8Array): void => {
      expect(() => new HeaderReader().read(block)).to.throw(HeaderBlockError);
    };
    refused(Buffer.alloc(0));
    refused(Buffer.from('no zlib stream at all'));
    const block = new HeaderWriter().write(new Map([['a', 'b']]));
    refused(block.subarray(0, 6));
    const otherDictionary = Buffer.from(block);
    otherDictionary.writeUInt32BE(1, 2);
    refused(otherDictionary);
    refused(new HeaderWriter().write(new Map([['a', 'x'.repeat(MAX_HEADER_BYTES)]])));
  });
});

describe('cluster/streams/spdy frames', () => {
  it('are the same however their bytes are cut', () => {
    const bytes = Buffer.concat([
      controlFrame(FrameType.ping, 0, Buffer.from([0, 0, 0, 7])),
      dataFrame(1, Buffer.from('hello'), false),
      rstStream(3, RstStatus.cancel),
      dataFrame(1, Buffer.alloc(0), false),
      dataFrame(5, Buffer.from('world'), true),
      dataFrame(7, Buffer.alloc(0), true),
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 100 }), (cuts) => {
        const seen: string[] = [];
        const text = new Map<number, string>();
        const reader = new FrameReader({
          onControl: ({ type, payload }) => seen.push(`${type}:${payload.toString('hex')}`),
          onData: (id, piece, isLast) => {
            text.set(id, (text.get(id) ?? '') + piece.toString());
            if (isLast) seen.push(`${id}:${text.get(id)}`);
          },
        });
        let at = 0;
        for (const cut of [...cuts, bytes.length]) {
          reader.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        expect(seen).to.deep.equal(['6:00000007', '3:0000000300000005', '5:world', '7:']);
        expect(text.get(1)).to.equal('hello');
      }),
    );
  });

  it('refuses another version and control frames beyond all measure', () => {
    const reader = (): FrameReader =>
      new FrameReader({ onControl: () => undefined, onData: () => undefined });
    expect(() => reader().push(Buffer.from('8002000100000000', 'hex'))).to.throw('version 2');
    expect(() => reader().push(Buffer.from('8003000100ffffff', 'hex'))).to.throw('16777215');
  });
});

describe('cluster/streams/spdy session', () => {
  function connect(): { client: SpdyClient; streams: SpdyStream[]; session: SpdySession } {
    const [near, far] = duplexPair();
    const streams: SpdyStream[] = [];
    const session = new SpdySession(far, (stream) => streams.push(stream));
    return { client: new SpdyClient(near), streams, session };
  }

  it('replies to a stream, carries bytes both ways and half-closes', async () => {
    const { client, streams } = connect();
    const id = client.open({ streamtype: 'data', Port: '80' });
    await until(() => client.replied.has(id));
    const [stream] = streams;
    if (stream === undefined) throw new Error('no stream');
    expect([...stream.headers]).to.deep.equal([
      ['streamtype', 'data'],
      ['port', '80'],
    ]);
    client.send(id, 'request', true);
    let received = '';
    stream.on('data', (bytes: Buffer) => (received += bytes.toString()));
    await once(stream, 'end');
    expect(received).to.equal('request');
    const long = 'y'.repeat(100_000);
    stream.end(long);
    await until(() => client.ended.has(id));
    expect(client.received.get(id)).to.equal(long);
  });

  it('answers pings of the client and resets data for a stream that never was', async () => {
    const { client } = connect();
    client.raw(controlFrame(FrameType.ping, 0, Buffer.from([0, 0, 0, 9])));
    client.raw(controlFrame(FrameType.settings, 0, Buffer.from([0, 0, 0, 0])));
    client.send(9, 'lost');
    await until(() => client.resets.has(9));
    expect(client.pings).to.deep.equal([9]);
    expect(client.resets.get(9)).to.equal(RstStatus.invalidStream);
  });

  it('ends the connection when a stream id is used again, and destroys its streams', async () => {
    const { client, streams } = connect();
    const id = client.open({ streamtype: 'data' });
    await until(() => client.replied.has(id));
    client.open({ streamtype: 'data' }, id);
    await until(() => client.goAways.length > 0);
    expect(client.goAways).to.deep.equal([1]);
    await until(() => streams[0]?.destroyed === true);
  });

  it('holds the client up while a reader does not keep up, and loses nothing', async () => {
    const { client, streams } = connect();
    const id = client.open({ streamtype: 'data' });
    await until(() => streams.length === 1);
    const [stream] = streams;
    if (stream === undefined) throw new Error('no stream');
    const piece = 'z'.repeat(16_384);
    for (let i = 0; i < 64; i++) client.send(id, piece, i === 63);
    await until(() => stream.readableLength >= stream.readableHighWaterMark);
    expect(stream.readableLength).to.be.lessThan(20 * piece.length);
    let total = 0;
    stream.on('data', (bytes: Buffer) => (total += bytes.length));
    await once(stream, 'end');
    expect(total).to.equal(64 * piece.length);
  });
});
