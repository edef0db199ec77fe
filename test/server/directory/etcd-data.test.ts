import { expect } from 'chai';
import { isBoltDatabase, isEtcdSegment } from '../../../src/server/directory/etcd-data.js';

const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(' ', ''), 'hex');

describe('files of etcd', () => {
  it('are recognised by the first record of a segment, with and without a checksum before it', () => {
    const zeros = '00'.repeat(32);
    expect(isEtcdSegment(bytes(`04000000 00000084 08041000 00000000 ${zeros}`))).equal(true);
    expect(isEtcdSegment(bytes(`08000000 00000000 080410c6 d7ed8403 ${zeros}`))).equal(true);
  });

  it('are distinguished from those of mainstay and from others', () => {
    const zeros = '00'.repeat(64);
    expect(isEtcdSegment(Buffer.from(`mainswal${zeros}`))).equal(false);
    expect(isEtcdSegment(bytes(zeros))).equal(false);
    expect(isEtcdSegment(bytes(`04000000 00000084 08011000 ${zeros}`)), 'another type').equal(
      false,
    );
    expect(isEtcdSegment(bytes('0400000000000084')), 'cut short').equal(false);
    expect(isBoltDatabase(bytes(zeros))).equal(false);
    expect(isBoltDatabase(bytes('00'))).equal(false);
  });

  it('are recognised by the magic number of Bolt', () => {
    const page = Buffer.alloc(64);
    page.writeUInt32LE(0xed0cdaed, 16);
    expect(isBoltDatabase(page)).equal(true);
  });
});
