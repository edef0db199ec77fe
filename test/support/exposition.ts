/**
 * A reader of the Prometheus text exposition format 0.0.4, strict where scrapers are, and the rules of `promtool check
 * metrics` that a page can break.
 */

export interface ParsedSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly ParsedSample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,?)/;
const NUMBER = /^(?:[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?|[-+]Inf|NaN)$/i;
const TYPES: ReadonlySet<string> = new Set(['counter', 'gauge', 'histogram', 'summary']);

/** Throws: Error that names the line which is not of the format. */
export function parseExposition(text: string): Map<string, ParsedFamily> {
  const families = new Map<string, ParsedFamily & { samples: ParsedSample[] }>();
  const lines = text.split('\n');
  if (lines.pop() !== '') throw new Error('the last line does not end');
  let help: readonly [string, string] | undefined;
  let current: (ParsedFamily & { samples: ParsedSample[] }) | undefined;
  for (const line of lines) {
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment?.[1] === 'HELP') {
      help = [comment[2] ?? '', comment[3] ?? ''];
    } else if (comment !== null) {
      const [, , name = '', type = ''] = comment;
      if (help?.[0] !== name) throw new Error(`no HELP before: ${line}`);
      if (!TYPES.has(type)) throw new Error(`unknown type: ${line}`);
      if (families.has(name)) throw new Error(`a second TYPE: ${line}`);
      current = { name, type, help: help[1], samples: [] };
      families.set(name, current);
    } else {
      const sample = parseSample(line);
      if (current === undefined || familyOf(sample, current.type) !== current.name)
        throw new Error(`outside of its family: ${line}`);
      current.samples.push(sample);
    }
  }
  return families;
}

function parseSample(line: string): ParsedSample {
  const name = NAME.exec(line)?.[0] ?? '';
  let rest = line.slice(name.length);
  const labels = new Map<string, string>();
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    for (let label = LABEL.exec(rest); label !== null; label = LABEL.exec(rest)) {
      const [all, key = '', value = '', comma] = label;
      if (labels.has(key)) throw new Error(`label ${key} twice: ${line}`);
      labels.set(key, value);
      rest = rest.slice(all.length);
      if (comma === '') break;
    }
    if (!rest.startsWith('}')) throw new Error(`malformed labels: ${line}`);
    rest = rest.slice(1);
  }
  const number = rest.slice(1);
  if (name === '' || !rest.startsWith(' ') || !NUMBER.test(number))
    throw new Error(`not a sample: ${line}`);
  return { name, labels, value: Number(number.replace('Inf', 'Infinity')) };
}

function familyOf(sample: ParsedSample, type: string): string {
  const suffixes: Readonly<Record<string, RegExp>> = {
    histogram: /_(bucket|sum|count)$/,
    summary: /_(sum|count)$/,
  };
  return sample.name.replace(suffixes[type] ?? /$^/, '');
}

/** Names etcd chose against the rules; dashboards use them. */
export interface Exceptions {
  readonly gauges: ReadonlySet<string>;
  readonly counters: ReadonlySet<string>;
  readonly histograms: ReadonlySet<string>;
}

/** Objections of `promtool check metrics` and of a scraper. */
export function lint(families: ReadonlyMap<string, ParsedFamily>, known: Exceptions): string[] {
  const problems: string[] = [];
  for (const family of families.values()) {
    const { name, type, help, samples } = family;
    const isTotal = name.endsWith('_total');
    if (!/^[a-z][a-z0-9_]*$/.test(name)) problems.push(`${name}: not in snake case`);
    if (help.trim() === '') problems.push(`${name}: no help text`);
    if (type === 'counter' && !isTotal && !known.counters.has(name))
      problems.push(`${name}: a counter should end in _total`);
    if (type === 'gauge' && isTotal && !known.gauges.has(name))
      problems.push(`${name}: only a counter should end in _total`);
    if (type === 'histogram' && isTotal && !known.histograms.has(name))
      problems.push(`${name}: only a counter should end in _total`);
    const seen = new Set<string>();
    for (const sample of samples) {
      const names = [...sample.labels.keys()].filter((label) => label !== 'le');
      if (names.join() !== [...names].sort().join()) problems.push(`${name}: labels not in order`);
      const series = seriesOf(sample);
      if (seen.has(series)) problems.push(`${series}: twice`);
      seen.add(series);
      if (type === 'counter' && !(sample.value >= 0))
        problems.push(`${series}: a negative counter`);
    }
    if (type === 'histogram') problems.push(...histogramProblems(family));
  }
  return problems;
}

/** Name and labels; samples of one page that agree in both are one series. */
export function seriesOf(sample: ParsedSample, without = ''): string {
  const labels = [...sample.labels]
    .filter(([key]) => key !== without)
    .map(([key, value]) => `${key}="${value}"`);
  return labels.length === 0 ? sample.name : `${sample.name}{${labels.join(',')}}`;
}

function histogramProblems({ name, samples }: ParsedFamily): string[] {
  const problems: string[] = [];
  const buckets = new Map<string, ParsedSample[]>();
  const values = new Map<string, number>();
  for (const sample of samples) {
    const series = seriesOf(sample, 'le');
    if (sample.name !== `${name}_bucket`) values.set(series, sample.value);
    else buckets.set(series, [...(buckets.get(series) ?? []), sample]);
  }
  for (const [series, list] of buckets) {
    const counts = list.map((bucket) => bucket.value);
    if (counts.some((count, i) => count < (counts[i - 1] ?? 0)))
      problems.push(`${series}: buckets are not cumulative`);
    if (list.at(-1)?.labels.get('le') !== '+Inf') problems.push(`${series}: no +Inf bucket`);
    const total = values.get(series.replace(/_bucket/, '_count'));
    if (total !== counts.at(-1)) problems.push(`${series}: count differs from the +Inf bucket`);
    if (!values.has(series.replace(/_bucket/, '_sum'))) problems.push(`${series}: no sum`);
  }
  return problems;
}
