import { pathToFileURL } from 'node:url';
import { checkImports } from './imports.js';
import { ROOT, runPool, runProgram, type Outcome } from './jobs.js';

/** All static checks: `npm run check`. Each prints one line, and what it found only when it found something. */

export async function checkAll(): Promise<readonly Outcome[]> {
  const generated = await runProgram('generate', 'npm', ['run', '--silent', 'gen']);
  report(generated);
  if (!generated.ok) return [generated];
  const jobs = [
    () => runProgram('types', 'node_modules/.bin/tsc', ['--noEmit', '--pretty', 'false']),
    () => runProgram('lint', 'node_modules/.bin/eslint', ['--max-warnings', '0', '.']),
    () =>
      runProgram('format', 'node_modules/.bin/prettier', ['--check', '--log-level', 'warn', '.']),
    () => importOutcome(),
    () => runProgram('unused', 'node_modules/.bin/knip', ['--no-progress', '--no-gitignore']),
  ];
  const outcomes = await runPool(
    jobs.map((job) => async () => {
      const outcome = await job();
      report(outcome);
      return outcome;
    }),
    2,
  );
  return [generated, ...outcomes];
}

async function importOutcome(): Promise<Outcome> {
  const began = performance.now();
  const { violations, modulesRead, filesThere } = await checkImports(ROOT);
  const lines = violations.map((v) => `${v.rule}: ${v.from} imports ${v.to}`);
  if (modulesRead !== filesThere || filesThere === 0) {
    lines.push(
      `only ${modulesRead} of ${filesThere} files were understood: the rules above saw less than the whole`,
    );
  }
  return {
    name: 'imports',
    ok: lines.length === 0,
    output: lines.join('\n'),
    seconds: (performance.now() - began) / 1000,
  };
}

function report(outcome: Outcome): void {
  const time = `${outcome.seconds.toFixed(1)} s`;
  console.log(`check ${outcome.name.padEnd(12)} ${outcome.ok ? 'ok' : 'FAILED'}  ${time}`);
  if (!outcome.ok) console.log(`${outcome.output.trim()}\n`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const outcomes = await checkAll();
  process.exitCode = outcomes.every((outcome) => outcome.ok) ? 0 : 1;
}
