import { expect } from 'chai';
import fc from 'fast-check';
import { durationFault, formatDurationMs, parseDurationMs } from '../../src/base/go-duration.js';

const HOUR = 3_600_000;

describe('durations of Go', () => {
  it('are read with several units, and no bare numbers', () => {
    expect(parseDurationMs('1h30m')).equal(5_400_000);
    expect(parseDurationMs('1.5s')).equal(1500);
    expect(parseDurationMs('100us')).equal(0.1);
    expect(parseDurationMs('2m3s4ms')).equal(123_004);
    expect(parseDurationMs('-5s')).equal(-5000);
    expect(parseDurationMs('+5s')).equal(5000);
    expect(parseDurationMs('0')).equal(0);
    for (const text of ['', '5', 's', '1d', '1h 30m', '5s5', '-', '1m-1s', '+-1s', '1.5.5s'])
      expect(parseDurationMs(text), text).equal(undefined);
  });

  it('are written as by Duration.String', () => {
    const forms = [90_000, HOUR, 1500, 20, 0.5, 0, -1500, 0.000001].map(formatDurationMs);
    expect(forms).eql(['1m30s', '1h0m0s', '1.5s', '20ms', '500µs', '0s', '-1.5s', '1ns']);
    expect(formatDurationMs(59_999.999_999_9)).equal('1m0s');
  });

  it('come back as they were written', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e9, max: 1e9 }), (ms) => {
        expect(parseDurationMs(formatDurationMs(ms))).closeTo(ms, 1e-6);
      }),
    );
  });

  it('are refused in the words of Go', () => {
    expect(durationFault('')).equal('time: invalid duration ""');
    expect(durationFault('-')).equal('time: invalid duration "-"');
    expect(durationFault('5')).equal('time: missing unit in duration "5"');
    expect(durationFault('1h5')).equal('time: missing unit in duration "1h5"');
    expect(durationFault('1d')).equal('time: unknown unit "d" in duration "1d"');
    expect(durationFault('1m-1s')).equal('time: unknown unit "m-" in duration "1m-1s"');
  });
});
