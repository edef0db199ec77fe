import { expect } from 'chai';
import { DirectoryInUse } from '../../../src/base/env/owned-directory.js';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import { DataDir } from '../../../src/server/contract/data-dir.js';
import { openFailure } from '../../../src/server/directory/failures.js';
import { ImageDamaged } from '../../../src/storage/errors.js';
import { ImageTooNew } from '../../../src/storage/format.js';
import { WalDamaged, WalForeign, WalNewer } from '../../../src/wal/errors.js';
import { MemoryDisk } from '../../support/memory-disk.js';

/** As classic-level reports a failed open. */
function levelError(code: string, message: string): Error {
  const cause = Object.assign(new Error(message), { code });
  return new Error('Database failed to open', { cause });
}

function failure(error: unknown, voters = 1): StartupError {
  const dirs = new DataDir(new MemoryDisk(), '/data');
  return openFailure(error, dirs, voters);
}

describe('a failure to open a directory', () => {
  const level: Record<string, [Error, RegExp, RegExp]> = {
    'a full disk': [
      levelError('LEVEL_IO_ERROR', 'IO error: /data/x/000003.log: No space left on device'),
      /no space is left on the disk that holds \/data/,
      /free some space/,
    ],
    'a read-only file system': [
      levelError('LEVEL_IO_ERROR', 'IO error: /data/x/LOCK: Read-only file system'),
      /read-only file system/,
      /choose a writable place/,
    ],
    'missing rights': [
      levelError('LEVEL_IO_ERROR', 'IO error: /data/x/LOCK: Permission denied'),
      /cannot be written/,
      /chown/,
    ],
    'no descriptors': [
      levelError('LEVEL_IO_ERROR', 'IO error: /data/x/000003.log: Too many open files'),
      /no file descriptors left/,
      /ulimit -n/,
    ],
    'a failing disk': [
      levelError('LEVEL_IO_ERROR', 'IO error: /data/x/000003.ldb: Input/output error'),
      /reports an error/,
      /check the disk/,
    ],
    'a lock whose holder is not seen': [
      levelError('LEVEL_LOCKED', 'IO error: lock /data/x/LOCK: already held by process'),
      /\/data is in use by another process/,
      /stop that process first/,
    ],
    'a directory that cannot be made': [
      levelError('ENOTDIR', "ENOTDIR: not a directory, mkdir '/data/x'"),
      /is not a directory/,
      /--data-dir/,
    ],
  };
  for (const [what, [error, finding, nextStep]] of Object.entries(level)) {
    it(`names ${what} and the next step`, () => {
      const refusal = failure(error);
      expect(refusal.message)
        .match(finding)
        .and.not.match(/Database failed to open/);
      expect(refusal.nextStep).match(nextStep);
    });
  }

  it('names the process that uses it', () => {
    const refusal = failure(new DirectoryInUse('/data/member', 4711));
    expect(refusal.message).equal(
      'the data directory /data is in use by process 4711; nothing in it was touched',
    );
    expect(refusal.nextStep).contain('ps -p 4711');
  });

  it('offers to cut a damaged log only to a member that is alone', () => {
    const damage = new WalDamaged({ found: 'rot', path: '/p', offset: 1, firstLostIndex: 2 });
    expect(failure(damage, 1).nextStep).contain('mainstay wal repair --data-dir /data');
    expect(failure(damage, 3).nextStep).not.contain('wal repair');
  });

  it('passes on a refusal of the log for owner or format', () => {
    expect(failure(new WalForeign('not yours')).message).equal('not yours');
    const newer = new WalNewer('/p', { kind: 'newer', version: 9, readableSince: '2.0.0' });
    expect(failure(newer).nextStep).equal('start this member with mainstay 2.0.0 or newer');
  });

  it('keeps the text of anything else', () => {
    expect(failure(new Error('odd')).message).contain('odd');
    const refusal = new StartupError('a', 'b');
    expect(failure(refusal)).equal(refusal);
  });

  it('gives the finding of damaged state, and the next step for a member alone and for one of several', () => {
    const damage = new ImageDamaged(
      'a block does not match its checksum',
      '/data/x/000003.ldb',
      4096,
    );
    for (const voters of [1, 3]) {
      const refusal = failure(damage, voters);
      expect(refusal.message).to.match(
        /state on disk is damaged: a block .*000003\.ldb, offset 4096/,
      );
      expect(refusal.nextStep).to.match(voters === 1 ? /the only member/ : /other members/);
      expect(refusal.nextStep).to.include('from a backup');
    }
  });

  it('names the version that can read a state of a newer format', () => {
    const refusal = failure(new ImageTooNew({ number: 9, since: '7.5.0' }));
    expect(refusal.message).to.include('format 9');
    expect(refusal.nextStep).to.include('mainstay 7.5.0 or later');
  });
});
