import { mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { consoleSink } from '../../../src/base/observe/log-sink.js';
import type { LogSink } from '../../../src/base/observe/log-sink.js';
import { createLogger, loggerTo, silentLogger } from '../../../src/base/observe/logger.js';
import { until } from '../../support/until.js';

class Lines implements LogSink {
  readonly lines: string[] = [];
  flushes = 0;
  writesAtOnce = 0;
  reopens = 0;

  write(line: string): void {
    this.lines.push(line);
  }

  writeSync(line: string): void {
    this.lines.push(line);
    this.writesAtOnce++;
  }

  flushSync(): void {
    this.flushes++;
  }

  reopen(): void {
    this.reopens++;
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

  it('leaves out messages below its level', () => {
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

  it('writes the last message of a process at once', () => {
    const sink = new Lines();
    loggerTo([sink], 'info').fatal('end');
    expect(sink.entries()[0]).include({ level: 'fatal', msg: 'end' });
    expect(sink.writesAtOnce).equal(1);
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

  it('names the place that logs, in JSON as zap does and not for people', () => {
    const [json, people] = [new Lines(), new Lines()];
    const log = loggerTo([json, consoleSink(people, false)], 'info');
    log.info('here');
    log.child({ a: 1 }).warn('and here');
    for (const entry of json.entries()) {
      expect(Object.keys(entry).slice(0, 4)).deep.equal(['level', 'ts', 'caller', 'msg']);
      expect(entry['caller']).match(/^observe\/logger\.test\.ts:\d+$/);
    }
    expect(people.lines.join('')).not.contain('logger.test.ts');
  });

  it('changes its level while it is used, for children too', () => {
    const sink = new Lines();
    const log = loggerTo([sink], 'warn');
    const child = log.child({ a: 1 });
    child.info('lost');
    log.setLevel('debug');
    child.debug('kept');
    expect(sink.entries().map((entry) => entry['msg'])).deep.equal(['kept']);
    expect(child.level).equal('debug');
  });

  it('opens its files anew on reopen', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'logger-test-'));
    const path = join(dir, 'm.log');
    const log = createLogger({ level: 'info', format: 'json', outputs: [path] });
    log.error('before');
    renameSync(path, `${path}.1`);
    log.reopen();
    log.error('after');
    log.flush();
    await until(() => readFileSync(path, 'utf8').includes('after'));
    expect(readFileSync(`${path}.1`, 'utf8'))
      .contain('before')
      .not.contain('after');
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
