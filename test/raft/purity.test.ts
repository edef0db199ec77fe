import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createContext, Script } from 'node:vm';
import ts from 'typescript';

const DIR = fileURLToPath(new URL('../../src/raft/', import.meta.url));
const FORBIDDEN = [
  'Date',
  'Promise',
  'performance',
  'process',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
  'console',
  'require',
];

/** Loads the core into a world of its own, in which touching anything impure throws. */
function loadTrapped(touched: string[]): Record<string, unknown> {
  const globals: Record<string, unknown> = {};
  for (const name of FORBIDDEN) {
    Object.defineProperty(globals, name, {
      get: () => {
        touched.push(name);
        throw new Error(`the core touched ${name}`);
      },
    });
  }
  const context = createContext(globals);
  new Script(
    `Math.random = () => { throw new Error('the core touched Math.random'); };`,
  ).runInContext(context);
  const loaded = new Map<string, Record<string, unknown>>();
  const load = (file: string): Record<string, unknown> => {
    const known = loaded.get(file);
    if (known !== undefined) return known;
    const exports: Record<string, unknown> = {};
    loaded.set(file, exports);
    const source = readFileSync(file, 'utf8');
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2023 },
    });
    const body = new Script(
      `(function (exports, load) { ${outputText.replaceAll('require(', 'load(')} })`,
      {
        filename: file,
      },
    ).runInContext(context) as (exports: object, load: (name: string) => object) => void;
    body(exports, (name) => load(new URL(name.replace(/\.js$/, '.ts'), `file://${file}`).pathname));
    return exports;
  };
  return load(`${DIR}raw-node.ts`);
}

type Core = typeof import('../../src/raft/raw-node.js');

describe('the core is pure (R1)', () => {
  it('runs a member with clock, timers, randomness, promises and process trapped', () => {
    const touched: string[] = [];
    const { RawNode } = loadTrapped(touched) as unknown as Core;
    const node = new RawNode(
      {
        id: 1n,
        electionTicks: 10,
        heartbeatTicks: 1,
        preVote: true,
        checkQuorum: true,
        maxAppendBytes: 1000,
        maxInflightMessages: 8,
        maxInflightBytes: 10000,
        maxUncommittedBytes: 10000,
        maxCommittedBytesPerReady: 10000,
        incarnation: 1,
        random: (n) => n - 1,
      },
      {
        hardState: { term: 0, vote: 0n, commit: 0 },
        confState: { voters: [1n], learners: [2n] },
        compactedIndex: 0,
        compactedTerm: 0,
        entries: [],
        applied: 0,
      },
    );
    let applied = 0;
    for (let i = 0; i < 60; i++) {
      node.tick();
      node.propose([new Uint8Array(4)]);
      node.readIndex(i + 1);
      while (node.hasReady()) {
        const rd = node.ready();
        const last = rd.entries[rd.entries.length - 1];
        if (rd.mustSync) node.synced(last?.index ?? 0, last?.term ?? node.term);
        applied += rd.committed.length;
        const done = rd.committed[rd.committed.length - 1];
        if (done !== undefined) node.applied(done.index);
      }
    }
    expect(applied).to.be.greaterThan(20);
    expect(touched).to.deep.equal([]);
  });

  it('imports nothing but itself and the invariant helper', () => {
    for (const file of readdirSync(DIR)) {
      const source = readFileSync(DIR + file, 'utf8');
      for (const [, from] of source.matchAll(/from '([^']+)'/g)) {
        const inside = from?.startsWith('./') === true || from === '../base/invariant.js';
        expect(inside, `${file} imports ${from}`).to.equal(true);
      }
      expect(/\b(async|await|import\()/.test(source), `${file} is synchronous`).to.equal(false);
    }
  });
});
