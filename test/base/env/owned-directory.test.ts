import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import {
  DirectoryInUse,
  OwnedDirectory,
  fileLockOwner,
  ownerOf,
} from '../../../src/base/env/owned-directory.js';
import {
  isRunning,
  lockHolder,
  markName,
  ownMark,
  parseMark,
  startOf,
} from '../../../src/base/env/process-mark.js';
import { until } from '../../support/until.js';

/** Tests of the real /proc. */
describe('process marks', () => {
  it('read state and start from a line of /proc, for any name of the program', () => {
    const rest = Array.from({ length: 18 }, (_, i) => i + 4).join(' ');
    expect(startOf(`12 (a b) S ${rest} 777 0 0`)).equal(777);
    expect(startOf(`12 (evil) R 1 2) S ${rest} 778 0 0`)).equal(778);
    expect(startOf(`12 (gone) Z ${rest} 779 0 0`)).equal(undefined);
    expect(startOf('')).equal(undefined);
  });

  it('survive being a file name', () => {
    const mark = ownMark();
    expect(parseMark(markName(mark))).deep.equal(mark);
    expect(parseMark('lock-1-2-xyz-3')).equal(undefined);
    expect(parseMark('db-0000000000000000')).equal(undefined);
  });

  it('stand for a running process only with its number, start, boot and namespace', () => {
    const mark = ownMark();
    expect(isRunning(mark)).equal(true);
    expect(isRunning({ ...mark, started: mark.started + 1 }), 'a recycled number').equal(false);
    expect(isRunning({ ...mark, boot: 'abc' }), 'another boot').equal(false);
    expect(isRunning({ ...mark, namespace: '1' }), 'another namespace').equal(false);
    expect(isRunning({ pid: mark.pid, started: 0, boot: '0', namespace: '0' })).equal(false);
  });

  it('of a process that was not waited for yet count as gone', async () => {
    // The shell's child ends once the shell has become a program that waits for no child.
    const script = '(read line <&3) & echo $!; exec sleep 60';
    const shell = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore', 'pipe'] });
    const [line] = (await once(shell.stdout as Readable, 'data')) as [Buffer];
    const pid = Number(line.toString());
    await until(() => readFileSync(`/proc/${shell.pid ?? 0}/comm`, 'latin1') === 'sleep\n');
    (shell.stdio[3] as Writable).end();
    const stat = (): string => readFileSync(`/proc/${pid}/stat`, 'latin1');
    try {
      await until(() => stat().includes(') Z '));
      const started = Number(
        stat()
          .slice(stat().lastIndexOf(')') + 2)
          .split(' ')[19],
      );
      expect(started).to.be.greaterThan(0);
      expect(isRunning({ ...ownMark(), pid, started })).equal(false);
    } finally {
      shell.kill('SIGKILL');
    }
  });

  it('find the holder of a lock in the text of /proc/locks', () => {
    const locks =
      '1: POSIX  ADVISORY  WRITE 4711 fd:01:1234 0 EOF\n' +
      '2: FLOCK  ADVISORY  WRITE 4712 fd:01:1235 0 EOF\n' +
      '3: POSIX  ADVISORY  READ  4713 fd:01:1236 0 EOF\n' +
      '4: POSIX  ADVISORY  WRITE 0 fd:01:1237 0 EOF\n';
    expect(lockHolder(locks, 1234)).equal(4711);
    for (const inode of [123, 1235, 1236, 1237]) expect(lockHolder(locks, inode)).equal(undefined);
  });
});

describe('OwnedDirectory', () => {
  let root: string;
  beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'owned-directory-test-'))));
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('is made with its parents, has one owner, and is free again after release', () => {
    const path = join(root, 'a', 'b');
    expect(ownerOf(path)).equal(undefined);
    const owned = OwnedDirectory.take(path);
    expect(statSync(path).mode & 0o777).equal(0o700);
    expect(ownerOf(path)).equal(process.pid);
    expect(() => OwnedDirectory.take(path)).to.throw(
      DirectoryInUse,
      `${path} is in use by process ${process.pid}`,
    );
    owned.release();
    expect(readdirSync(path)).deep.equal([]);
    OwnedDirectory.take(path).release();
  });

  it('takes over and removes marks of dead processes', () => {
    const dead = markName({ ...ownMark(), started: 1 });
    writeFileSync(join(root, dead), '');
    const owned = OwnedDirectory.take(root);
    expect(existsSync(join(root, dead))).equal(false);
    owned.release();
  });

  it('leaves marks of other namespaces, whose processes cannot be seen', () => {
    const elsewhere = markName({ ...ownMark(), namespace: '1' });
    const rebooted = markName({ ...ownMark(), namespace: '1', boot: 'abc' });
    for (const name of [elsewhere, rebooted]) writeFileSync(join(root, name), '');
    const owned = OwnedDirectory.take(root);
    owned.release();
    expect(readdirSync(root)).deep.equal([elsewhere]);
  });

  it('that is abandoned is gone with the parents made for it, but for files of others', () => {
    const owned = OwnedDirectory.take(join(root, 'a', 'b'));
    writeFileSync(join(root, 'a', 'b', 'file'), '');
    writeFileSync(join(root, 'a', 'theirs'), '');
    owned.abandon();
    expect(readdirSync(root, { recursive: true })).deep.equal(['a', 'a/theirs']);
  });

  it('that was there keeps its content when it is abandoned', () => {
    mkdirSync(join(root, 'old'));
    const owned = OwnedDirectory.take(root);
    mkdirSync(join(root, 'new', 'deep'), { recursive: true });
    owned.abandon();
    expect(readdirSync(root)).deep.equal(['old']);
  });

  it('that is in use is not cleared by a process that is refused', () => {
    const owned = OwnedDirectory.take(root);
    writeFileSync(join(root, 'theirs'), '');
    expect(() => OwnedDirectory.take(root)).to.throw(DirectoryInUse);
    expect(readdirSync(root)).include('theirs');
    owned.release();
  });

  it('finds no lock on a file that is absent', () => {
    expect(fileLockOwner(join(root, 'absent'))).equal(undefined);
  });
});
