import { expect } from 'chai';
import * as fc from 'fast-check';
import { BusyMeter } from '../../bench/busy.js';
import { parseH2load } from '../../bench/h2load.js';
import { Histogram } from '../../bench/histogram.js';
import { keyName, makeRequests } from '../../bench/operations.js';
import { plotGroup } from '../../bench/plot.js';
import { reportOf } from '../../bench/report.js';
import {
  median,
  mergeGroups,
  rowsOf,
  targetMet,
  type GroupResult,
  type Sample,
} from '../../bench/results.js';
import { decodePutRequest, decodeRangeRequest } from '../../src/gen/rpc.js';

describe('bench histogram', () => {
  it('gives every percentile within 3.2 % of the exact one, and never beyond the largest value', () => {
    const values = fc.array(fc.integer({ min: 0, max: 120_000_000 }), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 100 }), (list, p) => {
        const histogram = new Histogram();
        for (const value of list) histogram.record(value);
        const sorted = [...list].sort((a, b) => a - b);
        const exact = sorted[Math.ceil((p / 100) * list.length) - 1] ?? 0;
        const got = histogram.percentileUs(p);
        expect(got).to.be.at.least(exact);
        expect(got).to.be.at.most(Math.max(exact * 1.032, exact + 1));
        expect(got).to.be.at.most(histogram.maxUs);
      }),
    );
  });

  it('merges to the same as recording everything in one', () => {
    const [a, b, both, merged] = [
      new Histogram(),
      new Histogram(),
      new Histogram(),
      new Histogram(),
    ];
    for (let i = 0; i < 1000; i++) {
      (i % 3 === 0 ? a : b).record(i * i);
      both.record(i * i);
    }
    merged.merge(a.toData());
    merged.merge(b.toData());
    expect(merged.toData()).to.deep.equal(both.toData());
    expect(merged.meanUs).to.equal(both.meanUs);
  });
});

describe('bench requests', () => {
  const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

  it('are written in place: every put has its own key in turn, and a value of its own', () => {
    const maker = makeRequests(
      { kind: 'put', keys: 12, valueBytes: 300, sequential: true },
      0,
      { next: 0, step: 1 },
      1,
    );
    const puts = Array.from({ length: 24 }, () => decodePutRequest(Uint8Array.from(maker.next())));
    expect(puts.map((put) => textOf(put.key))).to.deep.equal(puts.map((_, i) => keyName(i % 12)));
    expect(puts.every((put) => put.value.length === 300)).to.equal(true);
    expect(new Set(puts.map((put) => textOf(put.value))).size).to.equal(24);
  });

  it('ask for ranges of the span that was asked for, inside the key space', () => {
    for (const span of [1, 7, 50]) {
      const operation = { kind: 'range', keys: 50, span, serializable: true } as const;
      const maker = makeRequests(operation, 3, { next: 0, step: 1 }, 1);
      for (let i = 0; i < 100; i++) {
        const request = decodeRangeRequest(maker.next());
        const first = Number(textOf(request.key).slice(-10));
        expect(first).to.be.within(0, 50 - span);
        expect(textOf(request.key)).to.equal(keyName(first));
        expect(textOf(request.rangeEnd)).to.equal(span === 1 ? '' : keyName(first + span));
        expect(request.serializable).to.equal(true);
      }
    }
  });
});

describe('bench busy meter', () => {
  it('sees work, and none while nothing runs', async () => {
    const meter = new BusyMeter();
    meter.start();
    await new Promise((done) => setTimeout(done, 200));
    const idle = meter.shares().used;
    meter.start();
    const began = performance.now();
    while (performance.now() - began < 100) Math.sqrt(began);
    const { used, waited } = meter.shares();
    expect(used + waited).to.be.greaterThan(idle);
  });
});

describe('h2load output', () => {
  const output = (failed: number): string => `finished in 2.00s, 25886.50 req/s, 1.53MB/s
requests: 51773 total, 52773 started, 51773 done, ${String(51773 - failed)} succeeded, ${String(failed)} failed, 0 errored, 0 timeout
`;

  it('yields rate and count', () => {
    expect(parseH2load(output(0))).to.deep.equal({ perSecond: 25886.5, succeeded: 51773 });
  });

  it('is refused when a request failed, or when its output differs', () => {
    expect(() => parseH2load(output(1))).to.throw('1 failed');
    expect(() => parseH2load('no')).to.throw('h2load said');
  });
});

describe('bench results', () => {
  const sample = (kind: 'etcd' | 'mainstay', round: number, value?: number): Sample => ({
    kind,
    round,
    measurement: {
      group: 'put',
      label: 'put <1 & only>',
      unit: '/s',
      better: 'higher',
      target: 2,
      ...(value === undefined ? { reason: 'planted' } : { value }),
    },
  });

  it('takes ratios within rounds, and the median of them', () => {
    const [row] = rowsOf([
      ...[sample('etcd', 0, 10), sample('mainstay', 0, 30)],
      ...[sample('mainstay', 1, 20), sample('etcd', 1, 20)],
      ...[sample('etcd', 2, 1), sample('mainstay', 2)],
      ...[sample('etcd', 3, 5), sample('mainstay', 3, 10)],
    ]);
    expect(row?.ratios).to.deep.equal([3, 1, 2]);
    expect(row?.reasons).to.deep.equal(['mainstay: planted']);
    expect(median(row?.ratios ?? [])).to.equal(2);
    expect(row === undefined ? undefined : targetMet(row)).to.equal(true);
  });

  it('keeps the highest load of the generator, and marks the rows it may have limited', () => {
    const busy = (round: number, clientBusy: number): Sample => {
      const { kind, measurement } = sample('mainstay', round, 1);
      return { kind, round, measurement: { ...measurement, clientBusy } };
    };
    const calm = group('put', '1', [busy(0, 0.2), busy(1, 0.5)]);
    expect(reportOf({ quick: false, groups: [calm] })).to.include('at most 50 % of a core.');
    const limited = group('put', '1', [busy(0, 0.95)]);
    expect(reportOf({ quick: false, groups: [limited] })).to.include('limit in: put <1 & only>.');
  });

  it('has a median of the middle two, and none of nothing', () => {
    expect([median([4, 1, 3, 2]), median([])]).to.deep.equal([2.5, undefined]);
  });

  const group = (name: string, measuredAt: string, samples: readonly Sample[]): GroupResult => ({
    name,
    title: `${name} & more`,
    rounds: 1,
    measuredAt,
    versions: { etcd: '3.5.0', mainstay: '1.0.0' },
    machine: {
      cpu: 'x',
      cores: 2,
      memoryGb: 1,
      kernel: 'k',
      node: '20',
      fileSystem: 'ext4',
      fdatasyncUs: 100,
    },
    rows: rowsOf(samples),
  });

  it('keeps groups that were not measured again', () => {
    const old = { quick: false, groups: [group('a', '1', []), group('b', '1', [])] };
    const merged = mergeGroups(old, [group('b', '2', []), group('c', '2', [])], ['c', 'b', 'a']);
    expect(merged.map((each) => each.name + each.measuredAt)).to.deep.equal(['c2', 'b2', 'a1']);
  });

  it('becomes a page and a drawing with ratio and verdict', () => {
    const measured = group('put', '2026-01-01T00:00:00Z', [
      sample('etcd', 0, 10),
      sample('mainstay', 0, 30),
    ]);
    const page = reportOf({ quick: false, groups: [measured] });
    expect(page).to.include('| put <1 & only> | /s | 10.0 | 30.0 | 3.00 |  | ≥ 2 | yes |');
    const twice = group('put', '2026-01-01T00:00:00Z', [
      ...[sample('etcd', 0, 10), sample('mainstay', 0, 30)],
      ...[sample('etcd', 1, 10), sample('mainstay', 1, 15)],
    ]);
    expect(reportOf({ quick: false, groups: [twice] })).to.include('| 2.25 | 1.50..3.00 | ≥ 2 |');
    const drawing = plotGroup(measured);
    expect(drawing).to.include('put &lt;1 &amp; only&gt;');
    expect(drawing.match(/<svg|<\/svg>/g)).to.have.length(2);
  });
});
