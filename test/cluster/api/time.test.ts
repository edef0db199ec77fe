import { expect } from 'chai';
import fc from 'fast-check';
import {
  canonicalMicroTime,
  canonicalTime,
  compactDuration,
  formatMicroTime,
  formatTime,
  parseDuration,
  parseTime,
  TimeError,
} from '../../../src/cluster/api/time.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('time: RFC 3339', () => {
  it('reads what it writes', () => {
    const moment = fc.integer({ min: -60_000_000_000_000, max: 250_000_000_000_000 });
    fc.assert(
      fc.property(moment, (ms) => {
        const seconds = Math.floor(ms / 1000) * 1000;
        expect(parseTime(formatTime(seconds))).to.equal(seconds);
        expect(parseTime(formatMicroTime(ms))).to.equal(ms);
        expect(canonicalTime(formatMicroTime(ms))).to.equal(formatTime(ms));
        expect(canonicalMicroTime(formatMicroTime(ms))).to.equal(formatMicroTime(ms));
      }),
    );
  });

  it('reads fractions of any length', () => {
    const fractions = ['', '.5', '.012', '.0129999999'];
    const ms = fractions.map((fraction) => parseTime(`1970-01-01T00:00:00${fraction}Z`));
    expect(ms).to.eql([0, 500, 12, 12]);
  });

  it('brings times into UTC, and the zero time to nothing', () => {
    expect(canonicalTime('2026-01-01T01:00:00.5+01:00')).to.equal('2026-01-01T00:00:00Z');
    expect(canonicalTime('2024-02-29T1:00:00,25-07:30')).to.equal('2024-02-29T08:30:00Z');
    expect(canonicalMicroTime('2026-01-01T01:00:00.000123+01:00')).to.equal(
      '2026-01-01T00:00:00.000123Z',
    );
    expect(canonicalTime('0001-01-01T00:00:00Z')).to.equal(undefined);
    expect(canonicalTime('0050-01-01T00:00:00Z')).to.equal('0050-01-01T00:00:00Z');
  });

  it("says what is wrong in Go's words", () => {
    const layout = '2006-01-02T15:04:05Z07:00';
    const errors: readonly (readonly [string, string])[] = [
      ['2026-02-30T00:00:00Z', 'parsing time "2026-02-30T00:00:00Z": day out of range'],
      ['2026-01-01T24:00:00Z', 'parsing time "2026-01-01T24:00:00Z": hour out of range'],
      ['2026-01-01T00:60:00Z', 'parsing time "2026-01-01T00:60:00Z": minute out of range'],
      ['2026-01-01T00:00:60Z', 'parsing time "2026-01-01T00:00:60Z": second out of range'],
      [
        '2026-01-01T00:00:00+25:00',
        'parsing time "2026-01-01T00:00:00+25:00": time zone offset hour out of range',
      ],
      ['2026-01-01T00:00:00Zx', 'parsing time "2026-01-01T00:00:00Zx": extra text: "x"'],
      [
        '2026-01-01T00:00:00+0700',
        `parsing time "2026-01-01T00:00:00+0700" as "${layout}": cannot parse "+0700" as "Z07:00"`,
      ],
    ];
    for (const [text, message] of errors)
      expect(() => canonicalTime(text))
        .to.throw()
        .with.property('message', message);
  });
});

describe('time: durations', () => {
  it('reads durations, and refuses the rest in the words of Go', () => {
    expect(parseDuration('1m30s')).to.equal(90_000);
    expect(() => parseDuration('5')).to.throw(TimeError, 'time: missing unit in duration "5"');
  });

  it('prints ages as kubectl does', () => {
    const ages: readonly (readonly [number, string])[] = [
      [-2 * SECOND, '<invalid>'],
      [-SECOND, '0s'],
      [45 * SECOND, '45s'],
      [119 * SECOND, '119s'],
      [2 * MINUTE, '2m'],
      [3 * MINUTE + 12 * SECOND, '3m12s'],
      [10 * MINUTE + SECOND, '10m'],
      [3 * HOUR, '3h'],
      [5 * HOUR + 2 * MINUTE, '5h2m'],
      [8 * HOUR + MINUTE, '8h'],
      [2 * DAY, '2d'],
      [3 * DAY + 4 * HOUR, '3d4h'],
      [12 * DAY + 5 * HOUR, '12d'],
      [740 * DAY, '2y10d'],
      [8 * 365 * DAY + DAY, '8y'],
    ];
    for (const [ms, text] of ages) expect(compactDuration(ms)).to.equal(text);
  });
});
