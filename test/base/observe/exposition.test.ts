import { expect } from 'chai';
import { exposition, labelText, type Family } from '../../../src/base/observe/exposition.js';
import { Histogram } from '../../../src/base/observe/histogram.js';
import { lint, parseExposition, type Exceptions } from '../../support/exposition.js';

const NO_EXCEPTIONS: Exceptions = {
  gauges: new Set(),
  counters: new Set(),
  histograms: new Set(),
};

describe('exposition', () => {
  it('writes families in their order, with help and type before their samples', () => {
    const families: Family<number>[] = [
      {
        name: 'b_total',
        type: 'counter',
        help: 'Two\nlines \\ one.',
        write: (out, source) => {
          out.sample('', source);
          out.sample(labelText({ z: 'a "b"\n\\', a: 'x' }), NaN);
        },
      },
      {
        name: 'a',
        type: 'histogram',
        help: 'Sizes.',
        write: (out) => {
          const histogram = new Histogram([0.5, 1]);
          for (const value of [0.25, 0.5, 3]) histogram.observe(value);
          out.histogram('k="v"', histogram);
        },
      },
    ];
    expect(exposition(families, 7)).equal(
      [
        '# HELP b_total Two\\nlines \\\\ one.',
        '# TYPE b_total counter',
        'b_total 7',
        'b_total{a="x",z="a \\"b\\"\\n\\\\"} NaN',
        '# HELP a Sizes.',
        '# TYPE a histogram',
        'a_bucket{k="v",le="0.5"} 2',
        'a_bucket{k="v",le="1"} 2',
        'a_bucket{k="v",le="+Inf"} 3',
        'a_sum{k="v"} 3.75',
        'a_count{k="v"} 3',
        '',
      ].join('\n'),
    );
  });

  it('writes numbers that parsers of the format read', () => {
    const values = [0, -1.5, 1e21, 5e-7, Infinity, -Infinity];
    const family: Family<number> = {
      name: 'n',
      type: 'gauge',
      help: 'A number.',
      write: (out, value) => out.sample('', value),
    };
    for (const value of values) {
      const parsed = parseExposition(exposition([family], value)).get('n');
      expect(parsed?.samples[0]?.value).equal(value);
    }
  });
});

describe('the checks of a page', () => {
  const head = (name: string, type: string): string =>
    `# HELP ${name} Help.\n# TYPE ${name} ${type}\n`;
  const problemsOf = (text: string): string[] => lint(parseExposition(text), NO_EXCEPTIONS);

  it('accept a page that keeps the rules', () => {
    const histogram = 'h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 2\nh_sum 3\nh_count 2\n';
    const page = `${head('a_total', 'counter')}a_total{x="1"} 1\n${head('h', 'histogram')}${histogram}`;
    expect(problemsOf(page)).deep.equal([]);
  });

  it('refuse text that is not of the format', () => {
    for (const text of [
      'a 1',
      'a 1\n',
      `# TYPE a gauge\na 1\n`,
      `${head('a', 'gauge')}b 1\n`,
      `${head('a', 'gauge')}a one\n`,
      `${head('a', 'gauge')}a Nan1\n`,
      `${head('a', 'gauge')}a{x=1} 1\n`,
      `${head('a', 'gauge')}a{x="1"y="2"} 1\n`,
      `${head('a', 'gauge')}a{x="1",x="2"} 1\n`,
      `${head('a', 'gauge')}a 1\n${head('a', 'gauge')}a 2\n`,
      `${head('a', 'untyped')}a 1\n`,
    ]) {
      expect(() => parseExposition(text), text).to.throw(Error);
    }
  });

  it('report the objections of promtool', () => {
    const cases: [string, RegExp][] = [
      [`${head('a', 'counter')}a 1\n`, /a counter should end in _total/],
      [`${head('a_total', 'gauge')}a_total 1\n`, /only a counter/],
      [`${head('a', 'gauge')}a 1\na 2\n`, /a: twice/],
      [`${head('a', 'gauge')}a{x="1",b="2"} 1\n`, /labels not in order/],
      [`${head('a_total', 'counter')}a_total -1\n`, /a negative counter/],
      [`${head('aB', 'gauge')}aB 1\n`, /snake case/],
      [`${head('h', 'histogram')}h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n`, /no \+Inf/],
      [
        `${head('h', 'histogram')}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
        /not cumulative/,
      ],
      [`${head('h', 'histogram')}h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`, /count differs/],
      [`${head('h', 'histogram')}h_bucket{le="+Inf"} 1\nh_count 1\n`, /no sum/],
    ];
    for (const [text, problem] of cases) expect(problemsOf(text).join('\n')).match(problem);
  });
});
