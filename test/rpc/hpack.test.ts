import { expect } from 'chai';
import * as fc from 'fast-check';
import * as http2 from 'node:http2';
import { HpackDecoder, MAX_STRING_BYTES } from '../../src/rpc/http2/hpack-decoder.js';
import { huffmanDecode } from '../../src/rpc/http2/huffman.js';
import { Http2Transport } from '../../src/rpc/http2/http2-transport.js';
import { percentEncode } from '../../src/rpc/http2/response-blocks.js';
import { startRawServer } from './support/raw-client.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

type Pair = readonly [string, string];

function decoder(): HpackDecoder {
  return new HpackDecoder(Buffer.alloc(MAX_STRING_BYTES));
}

function decode(target: HpackDecoder, block: Buffer): Pair[] | undefined {
  const pairs: Pair[] = [];
  const valid = target.decode(block, 0, block.length, {
    add: ({ name, value }) => pairs.push([name, value]),
  });
  return valid ? pairs : undefined;
}

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe('HpackDecoder', () => {
  it('reads the request examples of RFC 7541, C.3 and C.4', () => {
    const first: Pair[] = [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ];
    const second: Pair[] = [...first, ['cache-control', 'no-cache']];
    const third: Pair[] = [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ];
    const plain = decoder();
    expect(decode(plain, hex('8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d'))).to.eql(first);
    expect(decode(plain, hex('8286 84be 5808 6e6f 2d63 6163 6865'))).to.eql(second);
    expect(
      decode(
        plain,
        hex('8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65'),
      ),
    ).to.eql(third);
    const huffman = decoder();
    expect(decode(huffman, hex('8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff'))).to.eql(first);
    expect(decode(huffman, hex('8286 84be 5886 a8eb 1064 9cbf'))).to.eql(second);
    expect(
      decode(huffman, hex('8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf')),
    ).to.eql(third);
  });

  it('drops the oldest entries when the table shrinks, and everything at size zero', () => {
    const target = decoder();
    const literal = (name: string, value: string): Buffer =>
      Buffer.concat([
        Buffer.of(0x40, name.length),
        Buffer.from(name),
        Buffer.of(value.length),
        Buffer.from(value),
      ]);
    decode(target, Buffer.concat([literal('a', '1'), literal('b', '2'), literal('c', '3')]));
    expect(decode(target, hex('be bf c0'))).to.eql([
      ['c', '3'],
      ['b', '2'],
      ['a', '1'],
    ]);
    // 70 bytes hold two entries of 34.
    expect(decode(target, hex('3f27 be bf'))).to.eql([
      ['c', '3'],
      ['b', '2'],
    ]);
    expect(decode(target, hex('c0'))).to.equal(undefined);
    const other = decoder();
    decode(other, literal('a', '1'));
    expect(decode(other, hex('20 3fe11f 82'))).to.eql([[':method', 'GET']]);
    expect(decode(other, hex('be'))).to.equal(undefined);
  });

  it('holds exactly as many entries as fit, however many were dropped before', () => {
    const target = decoder();
    // 16 bytes of name and 16 of value make 64 with the overhead: 64 entries fill the table.
    for (let n = 0; n < 300; n++) {
      const value = Buffer.from(String(n).padStart(16, '0'));
      const name = Buffer.alloc(16, 'n');
      decode(target, Buffer.concat([hex('40 10'), name, hex('10'), value]));
    }
    expect(decode(target, integer(62 + 63, 7, 0x80))?.[0]?.[1]).to.match(/236$/);
    expect(decode(target, integer(62 + 64, 7, 0x80))).to.equal(undefined);
  });

  it('does not store an entry larger than the table, and empties it', () => {
    const target = decoder();
    decode(target, Buffer.concat([hex('4001 61 01 31')]));
    const long = Buffer.alloc(4090, 'v');
    const block = Buffer.concat([hex('4001 62'), hex('7f fb1e'), long]);
    expect(decode(target, block)?.[0]?.[1]).to.have.length(4090);
    expect(decode(target, hex('be'))).to.equal(undefined);
  });

  it(`agrees with a model of the tables on random blocks (SEED=${SEED})`, () => {
    const field = fc.record({
      way: fc.constantFrom('index', 'incremental', 'plain', 'never'),
      pick: fc.nat(80),
      name: fc.stringMatching(/^[a-z-]{1,20}$/),
      value: fc.string({ maxLength: 300 }),
    });
    fc.assert(
      fc.property(fc.array(fc.array(field, { maxLength: 12 }), { maxLength: 12 }), (blocks) => {
        const target = decoder();
        let table: Pair[] = [];
        for (const fields of blocks) {
          const bytes: Buffer[] = [];
          const expected: Pair[] = [];
          for (const { way, pick, name, value } of fields) {
            const text = Buffer.from(value, 'utf8').toString('latin1');
            const entry = table[pick % Math.max(table.length, 1)];
            if (way === 'index' && entry !== undefined) {
              bytes.push(integer(62 + (pick % table.length), 7, 0x80));
              expected.push(entry);
              continue;
            }
            const prefix = way === 'incremental' ? 0x40 : way === 'never' ? 0x10 : 0;
            bytes.push(Buffer.of(prefix), string(name), string(text));
            expected.push([name, text]);
            if (way === 'incremental') table = trim([[name, text], ...table]);
          }
          expect(decode(target, Buffer.concat(bytes))).to.eql(expected);
        }
      }),
      { seed: SEED, numRuns: 200 },
    );
  });

  it(`decides on any bytes without an exception (SEED=${SEED})`, () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (blocks) => {
        const target = decoder();
        for (const block of blocks) decode(target, Buffer.from(block));
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  it(`understands what nghttp2 encodes (SEED=${SEED})`, async () => {
    const seen: string[] = [];
    const server = await startRawServer(
      new Map(),
      {},
      {
        onHttpRequest: (request) => {
          seen.push(request.header('x-test') ?? '');
          request.respond(200, [['x-echo', request.header('x-test') ?? '']], Buffer.alloc(0));
        },
      },
    );
    expect(server.transport).to.be.instanceOf(Http2Transport);
    const session = http2.connect(`http://127.0.0.1:${server.port}`);
    const values = fc.sample(fc.stringMatching(/^[ -~]{0,400}$/), { seed: SEED, numRuns: 100 });
    for (const value of values) {
      const sent = value.trim();
      const stream = session.request({ ':path': '/x', 'x-test': sent });
      const echoed = await new Promise((resolve, reject) => {
        stream.on('response', (headers) => resolve(headers['x-echo']));
        stream.on('error', reject);
        stream.resume();
      });
      expect(echoed).to.equal(sent);
    }
    expect(seen).to.have.length(100);
    session.destroy();
    await server.close();
  });
});

describe('huffmanDecode', () => {
  it('refuses output that does not fit', () => {
    const coded = hex('f1e3 c2e5 f23a 6ba0 ab90 f4ff');
    expect(huffmanDecode(coded, 0, coded.length, Buffer.alloc(15))).to.equal(15);
    expect(huffmanDecode(coded, 0, coded.length, Buffer.alloc(14))).to.equal(-1);
  });
});

describe('percentEncode', () => {
  it('leaves printable ASCII but the percent sign', () => {
    expect(percentEncode('a b~%é\n')).to.equal('a b~%25%C3%A9%0A');
  });
});

function integer(value: number, prefixBits: number, first: number): Buffer {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) return Buffer.of(first | value);
  const bytes = [first | mask];
  let rest = value - mask;
  while (rest >= 128) {
    bytes.push((rest & 127) | 128);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

function string(text: string): Buffer {
  return Buffer.concat([integer(text.length, 7, 0), Buffer.from(text, 'latin1')]);
}

function trim(table: Pair[]): Pair[] {
  const size = (): number =>
    table.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0);
  while (size() > 4096) table.pop();
  return table;
}
