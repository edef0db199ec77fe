import type { FlagSpec } from './spec.js';
import type { FlagTable } from './table.js';

/** Help fits a terminal of this many columns. */
const COLUMNS = 80;
const DOC_INDENT = '      ';

/** The reference that `--help` prints. */
export function helpText(table: FlagTable): string {
  const { command, envPrefix, summary, groups } = table.spec;
  const intro =
    `${summary} Flags are written --name value or --name=value; each can also be given as ` +
    `a variable (--some-flag is ${envPrefix}SOME_FLAG) or in a file (--config-file).`;
  let text = `Usage: ${command} [flags]\n\n${wrap(intro, '')}`;
  for (const group of groups) {
    text += `\n${group}:\n`;
    for (const spec of table.rows) if (spec.group === group) text += flagLines(spec);
  }
  return (
    `${text}\nOthers:\n` +
    `  --version\n${DOC_INDENT}Show versions and exit.\n` +
    `  --help, -h\n${DOC_INDENT}Show this text and exit.\n`
  );
}

/** The usage lines shown when a command line is refused; the whole reference is one `--help` away. */
export function usageText(table: FlagTable): string {
  const { command } = table.spec;
  const file = 'Take all settings from a file; flags and variables are then ignored.';
  return (
    'Usage:\n\n' +
    `  ${command} [flags]\n${DOC_INDENT}Start with these settings.\n\n` +
    `  ${command} --config-file FILE\n${DOC_INDENT}${file}\n\n` +
    `  ${command} --version\n${DOC_INDENT}Show versions.\n\n` +
    `  ${command} --help\n${DOC_INDENT}Explain all ${table.rows.length} flags.\n`
  );
}

function flagLines(spec: FlagSpec): string {
  const state = spec.effect === 'served' ? '' : ` [${stateOf(spec)}]`;
  const choices = (spec.choices ?? []).filter((choice) => choice !== '');
  const oneOf = choices.length === 0 ? '' : ` One of: ${choices.join(', ')}.`;
  return `  --${spec.name} '${spec.default}'${state}\n${wrap(`${spec.doc}${oneOf}`, DOC_INDENT)}`;
}

function stateOf(spec: FlagSpec): string {
  return spec.effect === 'refused' ? 'not supported yet' : 'accepted, no effect';
}

/** Breaks a paragraph at blanks into lines that begin with `indent`. */
function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(' ')) {
    const longer = line.trim() === '' ? `${indent}${word}` : `${line} ${word}`;
    if (longer.length > COLUMNS && line.trim() !== '') {
      lines.push(line);
      line = `${indent}${word}`;
    } else line = longer;
  }
  return `${[...lines, line].join('\n')}\n`;
}
