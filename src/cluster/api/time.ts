/**
 * Times and durations as the API writes them: RFC 3339 in seconds (metav1.Time) or microseconds
 * (metav1.MicroTime), Go's durations, and the ages that kubectl prints.
 *
 * Wall time is milliseconds since 1970 throughout. Errors are in the words of Go's package time.
 */
import { durationFault, parseDurationMs } from '../../base/go-duration.js';

/** A text that is not a time or duration. */
export class TimeError extends Error {
  override name = 'TimeError';
}

interface Element {
  /** As Go's layout has it. */
  readonly layout: string;
  readonly pattern: RegExp;
  /** Smallest and largest value, with the name of what may be out of range. */
  readonly range?: readonly [from: number, to: number, what: string];
}

const literal = (text: string): Element => ({ layout: text, pattern: new RegExp(text, 'y') });

const TO_SECONDS: readonly Element[] = [
  { layout: '2006', pattern: /\d{4}/y },
  literal('-'),
  { layout: '01', pattern: /\d{2}/y, range: [1, 12, 'month'] },
  literal('-'),
  { layout: '02', pattern: /\d{2}/y },
  literal('T'),
  { layout: '15', pattern: /\d{1,2}/y, range: [0, 23, 'hour'] },
  literal(':'),
  { layout: '04', pattern: /\d{2}/y, range: [0, 59, 'minute'] },
  literal(':'),
  { layout: '05', pattern: /\d{2}/y, range: [0, 59, 'second'] },
];
const ZONE: Element = { layout: 'Z07:00', pattern: /Z|[+-]\d{2}:\d{2}/y };
// Go takes a fraction of a second after the seconds, whether the layout names one or not.
const FRACTION: Element = { layout: '', pattern: /(?:[.,]\d+)?/y };
const MICROS: Element = { layout: '.000000', pattern: /[.,]\d{6}/y };

const SECONDS_LAYOUT = '2006-01-02T15:04:05Z07:00';
const MICROS_LAYOUT = '2006-01-02T15:04:05.000000Z07:00';
const SECONDS_ELEMENTS = [...TO_SECONDS, FRACTION, ZONE];
const MICROS_ELEMENTS = [...TO_SECONDS, MICROS, ZONE];

/** Milliseconds of the first moment of the year 1: Go's zero time, which is written as null. */
const ZERO_TIME = new Date(0).setUTCFullYear(1, 0, 1);

export interface Moment {
  /** Milliseconds to the second. */
  readonly seconds: number;
  readonly micros: number;
}

/** Milliseconds since 1970 of an RFC 3339 time with any fraction. Throws: TimeError. */
export function parseTime(text: string): number {
  const { seconds, micros } = parse(text, SECONDS_LAYOUT, SECONDS_ELEMENTS);
  return seconds + Math.floor(micros / 1000);
}

/** As parseTime, to the microsecond. Throws: TimeError. */
export function parseMoment(text: string): Moment {
  return parse(text, SECONDS_LAYOUT, SECONDS_ELEMENTS);
}

/** As a time is stored and answered, in UTC without a fraction; undefined for the zero time. Throws: TimeError. */
export function canonicalTime(text: string): string | undefined {
  const { seconds } = parse(text, SECONDS_LAYOUT, SECONDS_ELEMENTS);
  return seconds === ZERO_TIME ? undefined : formatTime(seconds);
}

/** As canonicalTime, in microseconds, of which the text must have all six digits. */
export function canonicalMicroTime(text: string): string | undefined {
  const { seconds, micros } = parse(text, MICROS_LAYOUT, MICROS_ELEMENTS);
  return seconds === ZERO_TIME && micros === 0 ? undefined : formatMicros(seconds, micros);
}

/** `2026-01-01T00:00:00Z`. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -5)}Z`;
}

/** `2026-01-01T00:00:00.000000Z`. */
export function formatMicroTime(ms: number): string {
  const seconds = Math.floor(ms / 1000) * 1000;
  return formatMicros(seconds, Math.floor((ms - seconds) * 1000));
}

/** `seconds` is in milliseconds. */
export function formatMicros(seconds: number, micros: number): string {
  const second = formatTime(seconds).slice(0, -1);
  return `${second}.${String(micros).padStart(6, '0')}Z`;
}

function parse(text: string, layout: string, elements: readonly Element[]): Moment {
  const found: string[] = [];
  let at = 0;
  for (const element of elements) {
    element.pattern.lastIndex = at;
    const [match] = element.pattern.exec(text) ?? [];
    if (match === undefined) throw cannotParse(text, layout, text.slice(at), element.layout);
    const [from, to, what] = element.range ?? [0, Infinity, ''];
    if (Number(match) < from || Number(match) > to)
      throw new TimeError(`parsing time ${quote(text)}: ${what} out of range`);
    found.push(match);
    at += match.length;
  }
  if (at < text.length)
    throw new TimeError(`parsing time ${quote(text)}: extra text: ${quote(text.slice(at))}`);
  return momentOf(text, found);
}

/** `found` has one text an element. */
function momentOf(text: string, found: readonly string[]): Moment {
  const [year, , month, , day, , hour, , minute, , second, fraction = '', zone = ''] = found;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  if (date.getUTCDate() !== Number(day))
    throw new TimeError(`parsing time ${quote(text)}: day out of range`);
  const ofDay = (Number(hour) * 60 + Number(minute)) * 60 + Number(second);
  return {
    seconds: date.getTime() + (ofDay - offsetOf(text, zone)) * 1000,
    micros: Number(fraction.slice(1, 7).padEnd(6, '0')),
  };
}

/** Seconds east of UTC. */
function offsetOf(text: string, zone: string): number {
  if (zone === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (hours > 24 || minutes > 60) {
    const what = hours > 24 ? 'hour' : 'minute';
    throw new TimeError(`parsing time ${quote(text)}: time zone offset ${what} out of range`);
  }
  return (zone.startsWith('-') ? -60 : 60) * (hours * 60 + minutes);
}

function cannotParse(text: string, layout: string, rest: string, element: string): TimeError {
  const what = `parsing time ${quote(text)} as ${quote(layout)}`;
  return new TimeError(`${what}: cannot parse ${quote(rest)} as ${quote(element)}`);
}

function quote(text: string): string {
  return JSON.stringify(text);
}

/** Milliseconds of a Go duration such as `1m30s` or `-1.5h`. Throws: TimeError. */
export function parseDuration(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === undefined) throw new TimeError(durationFault(text));
  return ms;
}

/** An age as kubectl prints it (duration.HumanDuration): `45s`, `3m12s`, `5h2m`, `3d4h`, `12d`, `2y10d`. */
export function compactDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return pair(days, 'd', hours % 24, 'h');
  if (days < 2 * 365) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? pair(years, 'y', days % 365, 'd') : `${years}y`;
}

/** The smaller unit is left out when it is zero. */
function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}
