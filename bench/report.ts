import { BUSY, formatValue } from './case.js';
import { median, targetMet, type GroupResult, type Results, type Row } from './results.js';

/** Writes the results as a Markdown page. */
export function reportOf(results: Results): string {
  const lines = [
    '# mainstay beside etcd',
    '',
    'Written by `npm run bench`; every number is measured, none is edited. Both servers ran in turn on the same machine and disk,',
    'with the same flags and the same load, and the load generator ran beside them. Each value is the median of the rounds, and',
    'each ratio is the median of the ratios of the single rounds, mainstay divided by etcd; beside it, where there were several',
    'rounds, the lowest and the highest of them. Targets are for the median.',
    '',
  ];
  if (results.quick)
    lines.push('This was a quick run: few rounds and short loads. Its numbers are rough.', '');
  lines.push(...targetTable(results));
  for (const group of results.groups) lines.push(...groupSection(group, results.quick));
  return `${lines.join('\n')}\n`;
}

function targetTable(results: Results): string[] {
  const rows = results.groups.flatMap((group) =>
    group.rows.filter((row) => row.target !== undefined).map((row) => ({ group, row })),
  );
  if (rows.length === 0) return [];
  const met = rows.filter(({ row }) => targetMet(row) === true).length;
  return [
    '## Targets',
    '',
    `${String(met)} of ${String(rows.length)} met.`,
    '',
    '| group | case | ratio | target | met |',
    '|---|---|---|---|---|',
    ...rows.map(
      ({ group, row }) =>
        `| ${group.name} | ${row.label} | ${ratioText(row)} | ${targetText(row)} | ${metText(row)} |`,
    ),
    '',
  ];
}

function groupSection(group: GroupResult, quick: boolean): string[] {
  const { machine, versions } = group;
  const failures = [...new Set(group.rows.flatMap((row) => row.reasons ?? []))];
  return [
    `## ${group.title}`,
    '',
    `etcd ${versions.etcd}, mainstay ${versions.mainstay}, ${group.measuredAt.slice(0, 10)}, ${String(group.rounds)} round${group.rounds === 1 ? '' : 's'}.`,
    `${machine.cpu}, ${String(machine.cores)} cores, ${String(machine.memoryGb)} GB, Linux ${machine.kernel}, Node.js ${machine.node}, ${machine.fileSystem},`,
    `fdatasync ${String(machine.fdatasyncUs)} us.`,
    '',
    ...(quick ? [] : [`![${group.title}](${group.name}.svg)`, '']),
    '| case | unit | etcd | mainstay | ratio | lowest..highest | target | met |',
    '|---|---|---|---|---|---|---|---|',
    ...group.rows.map(
      (row) =>
        `| ${row.label} | ${row.unit} | ${valueText(row.etcd)} | ${valueText(row.mainstay)} | ${ratioText(row)} | ${spreadText(row)} | ${targetText(row)} | ${metText(row)} |`,
    ),
    '',
    ...clientLines(group.rows),
    ...(failures.length === 0
      ? []
      : [
          'Not measured:',
          '',
          ...failures.map((reason) => `- ${reason.replaceAll('\n', ' ')}`),
          '',
        ]),
  ];
}

function valueText(values: readonly number[]): string {
  const value = median(values);
  return value === undefined ? '–' : formatValue(value);
}

/** Load of the load generator, and the numbers that may be its own. */
function clientLines(rows: readonly Row[]): string[] {
  const shares = rows.map((row) => row.clientBusy).filter((share) => share !== undefined);
  if (shares.length === 0) return [];
  const limited = rows.filter((row) => (row.clientBusy ?? 0) > BUSY).map((row) => row.label);
  const most = `The load generator used at most ${(Math.max(...shares) * 100).toFixed(0)} % of a core`;
  const where = `; it may have been the limit in: ${limited.join('; ')}`;
  return [`${most}${limited.length === 0 ? '' : where}.`, ''];
}

function ratioText(row: Row): string {
  const ratio = median(row.ratios);
  return ratio === undefined ? '–' : formatRatio(ratio);
}

function spreadText(row: Row): string {
  if (row.ratios.length < 2) return '';
  return `${formatRatio(Math.min(...row.ratios))}..${formatRatio(Math.max(...row.ratios))}`;
}

function formatRatio(ratio: number): string {
  return ratio.toFixed(ratio < 0.1 ? 4 : 2);
}

function targetText(row: Row): string {
  if (row.target === undefined) return '';
  return `${row.better === 'higher' ? '≥' : '≤'} ${String(row.target)}`;
}

function metText(row: Row): string {
  const met = targetMet(row);
  return met === undefined ? '' : met ? 'yes' : 'no';
}
