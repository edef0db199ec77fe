import { expect } from 'chai';
import { parseBool, parseInteger } from '../../../src/base/flags/values.js';
import { normalUrl, parseServerUrl, parseUrlList } from '../../../src/base/flags/url.js';
import { parseAutoCompaction } from '../../../src/server/config/compaction-retention.js';
import { parseFeatureGates } from '../../../src/server/config/feature-gates.js';
import { bootstrapClusterId, bootstrapMemberId } from '../../../src/server/config/ids.js';

describe('values in Go syntax', () => {
  it('reads exactly the texts that Go takes for booleans', () => {
    for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) expect(parseBool(text)).equal(true);
    for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False'])
      expect(parseBool(text)).equal(false);
    for (const text of ['', 'yes', 'tRUE', ' true', 'on']) expect(parseBool(text)).equal(undefined);
  });

  it('reads integers with Go prefixes and refuses everything else', () => {
    const read = (text: string): number | undefined => parseInteger(text, -1000, 1000);
    expect(read('42')).equal(42);
    expect(read('-42')).equal(-42);
    expect(read('+7')).equal(7);
    expect(read('0x10')).equal(16);
    expect(read('010')).equal(8);
    expect(read('0o10')).equal(8);
    expect(read('0b101')).equal(5);
    expect(read('0')).equal(0);
    for (const text of ['', '1.5', '1e3', 'x', '08', '1001', '-1001', ' 1', '--1'])
      expect(read(text), text).equal(undefined);
  });
});

describe('URLs of flags', () => {
  it('keeps a list in the order of its texts', () => {
    const texts = parseUrlList('http://b:2, http://a:1').map((url) => url.text);
    expect(texts).deep.equal(['http://a:1', 'http://b:2']);
  });

  it('reads host and port, IPv6 and sockets', () => {
    expect(parseServerUrl('http://127.0.0.1:2379')).include({ host: '127.0.0.1', port: 2379 });
    expect(parseServerUrl('http://[::1]:2379')).include({ host: '::1', port: 2379 });
    expect(parseServerUrl('http://:2379')).include({ host: '', port: 2379 });
    expect(parseServerUrl('unix:///run/m.sock')).include({ scheme: 'unix', host: '/run/m.sock' });
    expect(parseServerUrl('unix://localhost:0')).include({ scheme: 'unix', host: 'localhost:0' });
  });

  for (const [text, message] of [
    ['ftp://a:1', 'URL scheme must be http, https, unix, or unixs: ftp://a:1'],
    ['localhost:2379', 'URL scheme must be http, https, unix, or unixs: localhost:2379'],
    ['http://a', 'URL address does not have the form "host:port": http://a'],
    ['http://a:99999', 'URL port must be from 0 to 65535: http://a:99999'],
    ['http://a:1/', 'URL must not contain a path: http://a:1/'],
    ['http://a:1/x', 'URL must not contain a path: http://a:1/x'],
  ] as const) {
    it(`refuses ${text}`, () => {
      expect(() => parseServerUrl(text)).throw(message);
    });
  }

  it('compares hosts without regard to case', () => {
    const normal = (text: string): string => normalUrl(parseServerUrl(text));
    expect(normal('http://Host:1')).equal(normal('http://host:1'));
    expect(normal('http://host:1')).not.equal(normal('https://host:1'));
  });
});

describe('ids of a new cluster', () => {
  // Read from `member list` and `/members` of etcd 3.5.30 started with the same flags.
  it("equal etcd's for one member", () => {
    const member = bootstrapMemberId(['http://127.0.0.1:32380'], 'tok-a');
    expect(member).equal(2051142733376812877n);
    expect(bootstrapClusterId([member])).equal(16615256277510276858n);
  });

  it("equal etcd's for three members, one of them with two URLs", () => {
    const n1 = bootstrapMemberId(['http://127.0.0.1:32385', 'http://127.0.0.1:32384'], 'tok-b');
    const n2 = bootstrapMemberId(['http://127.0.0.1:32390'], 'tok-b');
    const n3 = bootstrapMemberId(['http://127.0.0.1:32391'], 'tok-b');
    expect(n1).equal(7691909393019831994n);
    expect(n2).equal(11006425696169862729n);
    expect(n3).equal(16804365987338303657n);
    expect(bootstrapClusterId([n3, n1, n2])).equal(0x66df751719eb0631n);
  });

  it("equal etcd's for its defaults", () => {
    const member = bootstrapMemberId(['http://localhost:2380'], 'etcd-cluster');
    expect(member).equal(0x8e9e05c52164694dn);
    expect(bootstrapClusterId([member])).equal(0xcdf818194e3a8c32n);
  });
});

describe('automatic compaction', () => {
  it('takes a bare number for hours or, by mode, for revisions', () => {
    expect(parseAutoCompaction('periodic', '8')).deep.equal({
      mode: 'periodic',
      retentionMs: 28_800_000,
    });
    expect(parseAutoCompaction('periodic', '30m')).deep.equal({
      mode: 'periodic',
      retentionMs: 1_800_000,
    });
    expect(parseAutoCompaction('revision', '1000')).deep.equal({
      mode: 'revision',
      retentionRevisions: 1000,
    });
    expect(parseAutoCompaction('periodic', '0')).deep.equal({ mode: 'off' });
    expect(parseAutoCompaction('revision', '0')).deep.equal({ mode: 'off' });
  });

  it('refuses an unknown mode and a retention of the other kind', () => {
    expect(() => parseAutoCompaction('foo', '1')).throw('unknown auto-compaction-mode "foo"');
    expect(() => parseAutoCompaction('revision', '1h')).throw('number of revisions');
    expect(() => parseAutoCompaction('periodic', 'x')).throw('invalid duration "x"');
  });
});

describe('feature gates', () => {
  it('lets a gate win over its group', () => {
    const gates = parseFeatureGates('AllAlpha=true,LeaseCheckpoint=false');
    expect(gates.get('LeaseCheckpoint')).equal(false);
    expect(gates.get('InitialCorruptCheck')).equal(true);
    expect(gates.has('TxnModeWriteWithSharedBuffer')).equal(false);
  });

  it('refuses unknown spellings', () => {
    expect(() => parseFeatureGates('Foo=true')).throw('unrecognized feature gate: Foo');
    expect(() => parseFeatureGates('LeaseCheckpoint')).throw('missing bool value');
    expect(() => parseFeatureGates('LeaseCheckpoint=maybe')).throw('invalid value');
  });
});
