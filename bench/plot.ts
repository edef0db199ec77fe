import { formatValue } from './case.js';
import { median, type GroupResult, type Row } from './results.js';

/** Draws a group's results as SVG: for every row one bar, how much better or worse than etcd, on a logarithmic scale. */

const WIDTH = 1060;
const LABEL_WIDTH = 480;
const VALUE_WIDTH = 180;
const BAR = 16;
const STEP = 26;
const TOP = 64;
const BOTTOM = 34;
const COLOURS = {
  better: '#2a7f62',
  worse: '#b5483a',
  text: '#24292f',
  muted: '#6e7781',
  spread: '#e3b341',
  grid: '#d0d7de',
  paper: '#ffffff',
};
/** Marks of the scale, as factors. */
const MARKS = [0.01, 0.1, 0.25, 0.5, 1, 2, 4, 10, 100];

/** Factor by which mainstay is better than etcd, above 1, or worse, below. */
function advantage(row: Row): number | undefined {
  const ratio = median(row.ratios);
  if (ratio === undefined || ratio <= 0) return undefined;
  return row.better === 'higher' ? ratio : 1 / ratio;
}

export function plotGroup(group: GroupResult): string {
  const rows = group.rows.filter((row) => advantage(row) !== undefined);
  const factors = rows.map((row) => advantage(row) ?? 1);
  const low = Math.min(0.5, ...factors) / 1.15;
  const high = Math.max(2, ...factors) * 1.15;
  const plotWidth = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const x = (factor: number): number =>
    LABEL_WIDTH + (plotWidth * Math.log(factor / low)) / Math.log(high / low);
  const height = TOP + rows.length * STEP + BOTTOM;
  const parts: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(WIDTH)} ${String(height)}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${String(WIDTH)}" height="${String(height)}" fill="${COLOURS.paper}"/>`,
    text(16, 24, group.title, { size: 16, weight: 600 }),
    text(
      16,
      44,
      `mainstay ${group.versions.mainstay} compared with etcd ${group.versions.etcd}; bar to the right: mainstay is better; thin line: all rounds; mark: target`,
      {
        colour: COLOURS.muted,
      },
    ),
  ];
  for (const mark of MARKS.filter((factor) => factor >= low && factor <= high)) {
    const at = x(mark);
    const stroke = mark === 1 ? COLOURS.text : COLOURS.grid;
    parts.push(line(at, TOP - 6, at, height - BOTTOM + 4, stroke));
    parts.push(
      text(at, height - BOTTOM + 20, `${String(mark)} x`, {
        anchor: 'middle',
        colour: COLOURS.muted,
      }),
    );
  }
  rows.forEach((row, i) => {
    const factor = advantage(row) ?? 1;
    const y = TOP + i * STEP;
    const [from, to] = [Math.min(x(1), x(factor)), Math.max(x(1), x(factor))];
    const colour = factor >= 1 ? COLOURS.better : COLOURS.worse;
    parts.push(text(LABEL_WIDTH - 10, y + 12, row.label, { anchor: 'end' }));
    parts.push(
      `<rect x="${n(from)}" y="${n(y)}" width="${n(Math.max(to - from, 1))}" height="${String(BAR)}" fill="${colour}"/>`,
    );
    const spread = row.ratios.map((ratio) => (row.better === 'higher' ? ratio : 1 / ratio));
    if (spread.length > 1) {
      const [worst, best] = [Math.min(...spread), Math.max(...spread)].map((each) =>
        x(clamp(each, low, high)),
      );
      const middle = y + BAR / 2;
      parts.push(line(worst ?? 0, middle, best ?? 0, middle, COLOURS.spread, 2));
    }
    if (row.target !== undefined) {
      const target = x(clamp(row.better === 'higher' ? row.target : 1 / row.target, low, high));
      parts.push(line(target, y - 3, target, y + BAR + 3, COLOURS.text, 2));
    }
    const values = `${show(row.etcd)} → ${show(row.mainstay)} ${row.unit}`;
    parts.push(text(WIDTH - 12, y + 12, values, { anchor: 'end', colour: COLOURS.muted }));
  });
  parts.push('</svg>');
  return `${parts.join('\n')}\n`;
}

function show(values: readonly number[]): string {
  const value = median(values);
  return value === undefined ? '-' : formatValue(value);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

function n(value: number): string {
  return value.toFixed(1);
}

function line(x1: number, y1: number, x2: number, y2: number, stroke: string, width = 1): string {
  return `<line x1="${n(x1)}" y1="${n(y1)}" x2="${n(x2)}" y2="${n(y2)}" stroke="${stroke}" stroke-width="${String(width)}"/>`;
}

function text(
  x: number,
  y: number,
  content: string,
  style: { size?: number; weight?: number; anchor?: string; colour?: string },
): string {
  const { size = 12, weight = 400, anchor = 'start', colour = COLOURS.text } = style;
  const attributes = `font-size="${String(size)}" font-weight="${String(weight)}" text-anchor="${anchor}" fill="${colour}"`;
  return `<text x="${n(x)}" y="${n(y)}" ${attributes}>${escapeXml(content)}</text>`;
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
