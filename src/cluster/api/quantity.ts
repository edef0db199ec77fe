/**
 * Quantities of resources: `100m`, `1.5`, `2Gi`, `1e3` (k8s.io/apimachinery/pkg/api/resource).
 *
 * A quantity is exact down to a billionth; finer values are rounded away from zero, so that whoever
 * asks for something gets something. It is written in canonical form: no fraction, the largest
 * suffix of its own kind that loses nothing.
 */

export type QuantityFormat = 'decimalSI' | 'binarySI' | 'decimalExponent';

export interface Quantity {
  /** Billionths. */
  readonly nanos: bigint;
  /** The kind of suffix in which it is written. */
  readonly format: QuantityFormat;
  /** As it was given, where Kubernetes writes it so although it may not be canonical: `01`, `1E3`. */
  readonly text?: string;
}

/** A text that is not a quantity. The messages are those of Kubernetes. */
export class QuantityError extends Error {
  override name = 'QuantityError';
}

const WRONG_FORMAT =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const WRONG_SUFFIX = "unable to parse quantity's suffix";

const SYNTAX = /^([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;

const DECIMAL_SUFFIXES = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];
const BINARY_SUFFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
/** Exponent of the first of DECIMAL_SUFFIXES, and the scale in which amounts are kept. */
const NANO = -9;
const ONE = 1_000_000_000n;
const ONE_MILLI = 1_000_000n;
const LARGEST_BINARY = (2n ** 63n - 1n) * ONE;
/** Digits that an int64 holds whatever they are. */
const INT64_DIGITS = 18;
/** Exponents beyond are refused: their digits would have to be counted out. */
const MAX_EXPONENT = 1000;

interface Parts {
  readonly isNegative: boolean;
  /** Digits before and after the point, no leading zeros but a single one. */
  readonly whole: string;
  readonly fraction: string;
  readonly format: QuantityFormat;
  /** Of ten, or for binarySI of two. */
  readonly exponent: number;
}

/** Throws: QuantityError. */
export function parseQuantity(text: string): Quantity {
  const parts = partsOf(text);
  const { isNegative, whole, fraction, exponent } = parts;
  const isBinary = parts.format === 'binarySI';
  const shifted = BigInt(whole + fraction);
  let nanos = isBinary
    ? scaled(shifted * 2n ** BigInt(exponent), NANO + fraction.length)
    : scaled(shifted, NANO + fraction.length - exponent);
  if (isBinary && nanos > LARGEST_BINARY) nanos = LARGEST_BINARY;
  const isFraction = nanos > 0n && nanos < ONE;
  return {
    nanos: isNegative ? -nanos : nanos,
    format: isBinary && isFraction ? 'decimalSI' : parts.format,
    ...(isKept(parts) ? { text } : {}),
  };
}

function partsOf(text: string): Parts {
  const [match, sign = '', whole = '', fraction = '', suffix = ''] = SYNTAX.exec(text) ?? [];
  if (match === undefined || text === '') throw new QuantityError(WRONG_FORMAT);
  return {
    isNegative: sign === '-',
    whole: whole === '' ? '0' : whole,
    fraction,
    ...suffixOf(suffix),
  };
}

function suffixOf(suffix: string): Pick<Parts, 'format' | 'exponent'> {
  const decimal = DECIMAL_SUFFIXES.indexOf(suffix);
  if (decimal !== -1) return { format: 'decimalSI', exponent: NANO + 3 * decimal };
  const binary = BINARY_SUFFIXES.indexOf(suffix);
  if (binary !== -1) return { format: 'binarySI', exponent: 10 * binary };
  const [, exponent] = /^[eE]([+-]?[0-9]+)$/.exec(suffix) ?? [];
  if (exponent === undefined || Math.abs(Number(exponent)) > MAX_EXPONENT)
    throw new QuantityError(WRONG_SUFFIX);
  return { format: 'decimalExponent', exponent: Number(exponent) };
}

/** `digits` divided by ten to the power of `places` (multiplied, if negative), rounded up. */
function scaled(digits: bigint, places: number): bigint {
  if (places <= 0) return digits * 10n ** BigInt(-places);
  const divisor = 10n ** BigInt(places);
  return (digits + divisor - 1n) / divisor;
}

/** Kubernetes repeats a text that looks canonical at a glance. */
function isKept({ whole, fraction, format, exponent }: Parts): boolean {
  const digits = whole + fraction;
  if (format === 'binarySI') {
    const isShort = digits.length + Math.trunc((exponent * 3) / 10) < 15;
    return isShort && fraction === '' && BigInt(digits) % 8n !== 0n;
  }
  const scale = exponent - fraction.length;
  const isShort = digits.length <= INT64_DIGITS && scale >= NANO;
  return isShort && scale % 3 === 0 && !digits.endsWith('000') && !digits.startsWith('0');
}

/** In canonical form, or as it was given where Kubernetes keeps that. */
export function formatQuantity(quantity: Quantity): string {
  return quantity.text ?? canonical(quantity);
}

/** As a quantity in a request comes back. Throws: QuantityError. */
export function canonicalQuantity(text: string): string {
  return formatQuantity(parseQuantity(text));
}

function canonical({ nanos, format }: Quantity): string {
  if (nanos === 0n) return '0';
  const isWhole = nanos % ONE === 0n;
  const isSmall = magnitude(nanos) < 1024n * ONE;
  if (format === 'binarySI' && isWhole && !isSmall) {
    const [mantissa, times] = withoutFactors(nanos / ONE, 1024n);
    return `${mantissa}${BINARY_SUFFIXES[times] ?? ''}`;
  }
  const [stripped, times] = withoutFactors(nanos, 10n);
  // Suffixes stand for powers of a thousand.
  const surplus = times % 3;
  const mantissa = stripped * 10n ** BigInt(surplus);
  const exponent = NANO + times - surplus;
  const suffix = DECIMAL_SUFFIXES[(exponent - NANO) / 3];
  if (format !== 'decimalExponent' && suffix !== undefined) return `${mantissa}${suffix}`;
  return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`;
}

function withoutFactors(amount: bigint, factor: bigint): [rest: bigint, times: number] {
  let rest = amount;
  let times = 0;
  while (rest % factor === 0n) {
    rest /= factor;
    times++;
  }
  return [rest, times];
}

/** Negative, zero or positive, as of sort(). */
export function compareQuantities(a: Quantity, b: Quantity): number {
  if (a.nanos === b.nanos) return 0;
  return a.nanos < b.nanos ? -1 : 1;
}

/** In the format of the first, or of the second if the first is zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** As addQuantities; may become negative. */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** Whole units. Requires: a safe integer. */
export function quantityOf(units: number, format: QuantityFormat = 'decimalSI'): Quantity {
  return { nanos: BigInt(units) * ONE, format };
}

/** Thousandths. Requires: a safe integer. */
export function milliQuantityOf(
  thousandths: number,
  format: QuantityFormat = 'decimalSI',
): Quantity {
  return { nanos: BigInt(thousandths) * ONE_MILLI, format };
}

/** Whole units, rounded away from zero. */
export function value(quantity: Quantity): number {
  return Number(dividedUp(quantity.nanos, ONE));
}

/** Thousandths, rounded away from zero. */
export function milli(quantity: Quantity): number {
  return Number(dividedUp(quantity.nanos, ONE_MILLI));
}

/** Rounded away from zero to thousandths: as amounts of resources are stored. */
export function roundUpToMilli(quantity: Quantity): Quantity {
  if (quantity.nanos % ONE_MILLI === 0n) return quantity;
  return {
    nanos: dividedUp(quantity.nanos, ONE_MILLI) * ONE_MILLI,
    format: quantity.format,
  };
}

function dividedUp(amount: bigint, divisor: bigint): bigint {
  const up = (magnitude(amount) + divisor - 1n) / divisor;
  return amount < 0n ? -up : up;
}

function magnitude(amount: bigint): bigint {
  return amount < 0n ? -amount : amount;
}
