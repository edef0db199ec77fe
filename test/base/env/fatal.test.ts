import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const SOURCE = fileURLToPath(new URL('../../../src/base/', import.meta.url));
const TSX = import.meta.resolve('tsx');

/** Standard error of a process that stops with env.fatal() and has `outputs` as its log. */
function lastWords(outputs: string): string[] {
  const dir = mkdtempSync(join(tmpdir(), 'fatal-test-'));
  const script = join(dir, 'stop.mts');
  writeFileSync(
    script,
    `import { createNodeEnv } from '${SOURCE}env/node.ts';
     import { createLogger } from '${SOURCE}observe/logger.ts';
     const log = createLogger({ level: 'info', format: 'json', outputs: ['${outputs}'] });
     const onFatal = (report) => log.fatal(report.what, { next: report.next });
     createNodeEnv({ onFatal }).fatal('the disk is full', 'free some space');`,
  );
  const result = spawnSync(process.execPath, ['--import', TSX, script], { encoding: 'utf8' });
  rmSync(dir, { recursive: true });
  expect(result.status).equal(3);
  return result.stderr.split('\n').filter((line) => line.includes('the disk is full'));
}

describe('a process that must stop', () => {
  it('logs the cause once', () => {
    expect(lastWords('stderr')).have.length(1);
  });

  it('writes the cause to standard error when its log cannot be written', () => {
    expect(lastWords('/dev/full')).have.length(1);
  });
});
