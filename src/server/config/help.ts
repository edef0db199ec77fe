import { FLAG_GROUPS } from '../../base/flags/spec.js';
import type { FlagSpec } from '../../base/flags/spec.js';
import { FLAGS, envName } from './flags.js';

/** The reference that `mainstay server --help` prints. */
export function helpText(): string {
  let text =
    'Usage: mainstay server [flags]\n\n' +
    'Starts one member of a store that speaks the etcd v3 API. Flags are written --name value or --name=value;\n' +
    'each can also be given as a variable (--data-dir is ETCD_DATA_DIR) or in a file (--config-file).\n';
  for (const group of FLAG_GROUPS) {
    text += `\n${group}:\n`;
    for (const spec of FLAGS) {
      if (spec.group === group) text += flagLines(spec);
    }
  }
  return `${text}\nOthers:\n  --version\n    Show versions and exit.\n  --help, -h\n    Show this text and exit.\n`;
}

function flagLines(spec: FlagSpec): string {
  const choices =
    spec.choices === undefined ? '' : ` (${spec.choices.filter((c) => c !== '').join(' | ')})`;
  const state = spec.effect === 'served' ? '' : ` [${stateOf(spec)}]`;
  return `  --${spec.name} '${spec.default}'${choices}${state}\n    ${spec.doc}\n`;
}

function stateOf(spec: FlagSpec): string {
  return spec.effect === 'refused' ? 'not supported yet' : 'accepted, no effect';
}

/** The same reference as a Markdown table per group, for docs/flags.md. */
export function flagsMarkdown(): string {
  const parts: string[] = [];
  for (const group of FLAG_GROUPS) {
    const rows = FLAGS.filter((spec) => spec.group === group).map((spec) => {
      const older = (spec.aliases ?? []).map((alias) => ` Older name: \`${alias}\`.`).join('');
      const state =
        spec.effect === 'served' ? '' : ` **${capital(stateOf(spec))}**: ${spec.note ?? ''}.`;
      const value = spec.default === '' ? '–' : `\`${spec.default}\``;
      return `| \`--${spec.name}\` | \`${envName(spec.name)}\` | ${value} | ${spec.doc}${older}${state} |`;
    });
    parts.push(
      `## ${group}\n\n| Flag | Variable | Default | Meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`,
    );
  }
  return parts.join('\n');
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
