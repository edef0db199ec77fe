import { expect } from 'chai';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { Script } from './support/script.js';

const DIR = fileURLToPath(new URL('./testdata/', import.meta.url));

/** Runs the blocks of a script and returns it with the output they give now. */
function replay(text: string): string {
  const script = new Script();
  const out: string[] = [];
  for (const block of text.split(/\n\n+/)) {
    const lines = block.split('\n').filter((l) => l !== '');
    const comments = lines.filter((l) => l.startsWith('#'));
    const end = lines.indexOf('----');
    const commands = lines.slice(0, end < 0 ? undefined : end).filter((l) => !l.startsWith('#'));
    if (commands.length === 0) {
      if (comments.length > 0) out.push(comments.join('\n'));
      continue;
    }
    out.push([...comments, ...commands, '----', script.run(commands)].join('\n'));
  }
  return `${out.join('\n\n')}\n`;
}

describe('raft scenarios', () => {
  for (const name of readdirSync(DIR)) {
    it(name.replace('.txt', '').replaceAll('-', ' '), () => {
      const text = readFileSync(DIR + name, 'utf8');
      const now = replay(text);
      if (process.env['REWRITE'] === '1') writeFileSync(DIR + name, now);
      else expect(now).to.equal(text);
    });
  }
});
