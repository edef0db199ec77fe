import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { transformSync } from 'esbuild';
import { callerOf, readableStack } from '../../../src/base/observe/caller.js';

const load = createRequire(import.meta.url);

describe('places in the source', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'caller-test-'))));
  afterEach(() => rmSync(dir, { recursive: true }));

  /** Compiles a source whose lines move, with its map beside it, and loads it. */
  function compile(source: string): { path: string; exports: unknown } {
    const { code, map } = transformSync(source, {
      loader: 'ts',
      format: 'cjs',
      sourcemap: 'external',
      sourcefile: '../src/lamp/switch.ts',
    });
    const path = join(dir, 'built.cjs');
    writeFileSync(path, code);
    writeFileSync(`${path}.map`, map);
    return { path, exports: load(path) };
  }

  it('replace those of the bundle in a stack', () => {
    const { path, exports } = compile(
      'interface Moved {\n  a: string;\n}\n\nexport function fail(_: Moved) {\n  throw new Error("dark");\n}\n',
    );
    let stack = '';
    try {
      (exports as { fail: () => void }).fail();
    } catch (error) {
      stack = error instanceof Error ? (error.stack ?? '') : '';
    }
    expect(stack).contain(`${path}:`);
    const readable = readableStack(stack);
    expect(readable).match(/^Error: dark\n {4}at \S*fail \(\.\.\/src\/lamp\/switch\.ts:6:9\)\n/);
    // A file without a map keeps its places.
    expect(readable).match(/caller\.test\.ts:\d+:\d+/);
  });

  it('come from the table beside a bundle, if it has one', () => {
    const { path, exports } = compile('export const ask = (callerOf: any) => callerOf(0);\n');
    const { ask } = exports as { ask: (f: typeof callerOf) => string | undefined };
    const lines = Array.from({ length: 40 }, (_, i) => [String(i + 1), 'lamp/switch.ts:7']);
    writeFileSync(`${path}.callers.json`, JSON.stringify(Object.fromEntries(lines)));
    expect(ask(callerOf)).equal('lamp/switch.ts:7');
  });

  it('are those of the caller, so many calls above', () => {
    const inner = (depth: number): string | undefined => callerOf(depth);
    const outer = (): string | undefined => inner(1);
    const [own, above] = [inner(0), outer()];
    expect(own).match(/^observe\/caller\.test\.ts:\d+$/);
    expect(above).match(/^observe\/caller\.test\.ts:\d+$/);
    expect(own).not.equal(above);
    expect(callerOf(1000)).equal(undefined);
  });
});
