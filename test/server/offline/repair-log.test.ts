import { expect } from 'chai';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c } from '../../../src/base/bytes/crc32c.js';
import { createNodeEnv } from '../../../src/base/env/node.js';
import { OwnedDirectory } from '../../../src/base/env/owned-directory.js';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import { repairMemberLog } from '../../../src/server/offline/repair-log.js';
import { Wal } from '../../../src/wal/wal.js';
import { fingerprint } from '../../support/server-processes.js';

describe('repairMemberLog', () => {
  let dataDir: string;
  let member: string;
  let wal: string;

  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'repair-log-test-'));
    member = join(dataDir, 'member');
    wal = join(member, 'wal');
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  function makeLog(): string {
    const identity = { clusterId: 1n, memberId: 2n };
    const options = { dir: wal, identity, segmentBytes: 8192, witnessIndex: 0 };
    mkdirSync(member);
    Wal.create(createNodeEnv(), options).close(() => undefined);
    return join(wal, readdirSync(wal)[0] ?? '');
  }

  /** The refusal, after a check that it changed nothing. */
  async function refusal(): Promise<StartupError> {
    const before = fingerprint(dataDir);
    try {
      await repairMemberLog({ dataDir });
    } catch (error) {
      expect(fingerprint(dataDir)).deep.equal(before);
      if (error instanceof StartupError) return error;
      throw error;
    }
    throw new Error('was not refused');
  }

  it('leaves a sound log alone, and the directory free for others', async () => {
    makeLog();
    const result = await repairMemberLog({ dataDir });
    expect(result).deep.equal({
      text: 'The log needs no repair; it ends with entry 0.\n',
      isStartable: true,
    });
    OwnedDirectory.take(member).release();
  });

  it('refuses a directory without a log', async () => {
    expect((await refusal()).message).equal(`there is no log of a member in ${wal}`);
  });

  it('refuses a directory in use', async () => {
    makeLog();
    const owner = OwnedDirectory.take(member);
    expect((await refusal()).message).contain(`is in use by process ${process.pid}`);
    owner.release();
  });

  it('refuses a log of which no header can be read', async () => {
    const path = makeLog();
    writeFileSync(path, Buffer.alloc(8192, 1));
    expect((await refusal()).message).contain('no segment of the log');
  });

  it('refuses the data of etcd', async () => {
    mkdirSync(join(member, 'snap'), { recursive: true });
    const page = Buffer.alloc(4096);
    page.writeUInt32LE(0xed0cdaed, 16);
    writeFileSync(join(member, 'snap', 'db'), page);
    expect((await refusal()).message).contain('the data directory of an etcd member');
  });

  it('refuses a log that a newer mainstay wrote', async () => {
    const path = makeLog();
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(3, 8);
    const crcAt = bytes.readUInt32LE(12) - 4;
    bytes.writeUInt32LE(crc32c(bytes, 0, 0, crcAt), crcAt);
    writeFileSync(path, bytes);
    const error = await refusal();
    expect(error.message).contain('has format 3: a newer mainstay wrote it');
    expect(error.nextStep).match(/^start this member with mainstay \d+\.\d+\.\d+ or newer$/);
  });
});
