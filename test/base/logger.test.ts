import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  consoleSink,
  createLogger,
  loggerTo,
  silentLogger,
} from '../../src/base/observe/logger.js';
import type { LogSink } from '../../src/base/observe/logger.js';
import { until } from '../support/until.js';

class Lines implements LogSink {
  readonly lines: string[] = [];
  flushes = 0;

  write(line: string): void {
    this.lines.push(line);
  }

  flushSync(): void {
    this.flushes++;
  }

  entries(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

describe('the log', () => {
  it("writes etcd's fields, ids as hexadecimal text and errors as their message", () => {
    const sink = new Lines();
    loggerTo([sink], 'info').info('hello', {
      'member-id': 0x8e9e05c52164694dn,
      error: new Error('disk full'),
      urls: ['http://a:1'],
      nested: { peers: [1n, 255n] },
      bytes: Uint8Array.of(1, 2),
      count: 3,
    });
    const [entry] = sink.entries();
    expect(entry?.['ts']).match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(entry).deep.include({
      level: 'info',
      msg: 'hello',
      'member-id': '8e9e05c52164694d',
      error: 'disk full',
      urls: ['http://a:1'],
      nested: { peers: ['1', 'ff'] },
      bytes: 'AQI=',
      count: 3,
    });
  });

  it('leaves out what is less important than its level', () => {
    const sink = new Lines();
    const log = loggerTo([sink], 'warn');
    log.debug('a');
    log.info('b');
    log.warn('c');
    log.error('d');
    expect(sink.entries().map((entry) => entry['msg'])).deep.equal(['c', 'd']);
    expect(log.enabled('info')).equal(false);
    expect(log.enabled('error')).equal(true);
  });

  it('changes its level while it runs, for its children too', () => {
    const sink = new Lines();
    const log = loggerTo([sink], 'info');
    const child = log.child({ part: 'a' });
    log.setLevel('debug');
    log.debug('a');
    child.debug('b');
    log.setLevel('error');
    child.warn('c');
    expect(sink.entries().map((entry) => entry['msg'])).deep.equal(['a', 'b']);
    expect([log.level, child.level]).deep.equal(['error', 'error']);
  });

  it('adds the fields of a child to its messages', () => {
    const sink = new Lines();
    loggerTo([sink], 'info').child({ peer: 16n }).warn('lost', { tries: 2 });
    expect(sink.entries()[0]).include({ level: 'warn', peer: '10', tries: 2, msg: 'lost' });
  });

  it('flushes after the last message of a process', () => {
    const sink = new Lines();
    loggerTo([sink], 'info').fatal('end');
    expect(sink.entries()[0]).include({ level: 'fatal', msg: 'end' });
    expect(sink.flushes).greaterThan(0);
  });

  it('writes short lines for people', () => {
    const sink = new Lines();
    loggerTo([consoleSink(sink, false)], 'info').warn('slow disk', {
      took: '2 s',
      name: 'n1',
      n: 3,
    });
    expect(sink.lines[0]).match(
      /^\d\d:\d\d:\d\d\.\d{3} WARN {2}slow disk {2}took="2 s" name=n1 n=3\n$/,
    );
  });

  it('appends to files', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'logger-test-'));
    const path = join(dir, 'logs', 'm.log');
    for (const msg of ['first', 'second']) {
      const log = createLogger({ level: 'info', format: 'auto', outputs: [path] });
      log.info(msg);
      log.flush();
    }
    // A write that was under way when the log was flushed ends a moment later.
    await until(() => (readFileSync(path, 'utf8').match(/\n/g) ?? []).length === 2);
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).deep.equal([
      'first',
      'second',
    ]);
    rmSync(dir, { recursive: true });
  });

  it('names the flag of a file that cannot be opened', () => {
    expect(() => createLogger({ level: 'info', format: 'json', outputs: ['/dev/null/x'] })).throw(
      /the log file .*x cannot be opened/,
    );
  });

  it('can be silent', () => {
    silentLogger.child({}).error('nobody hears');
    expect(silentLogger.enabled('fatal')).equal(false);
  });
});
