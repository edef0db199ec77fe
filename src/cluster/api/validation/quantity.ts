/** Exact comparison of quantities (`100m`, `1.5Gi`, `1e3`) as multiples of a billionth. */
const UNITS: Readonly<Record<string, bigint>> = {
  n: 1n,
  u: 10n ** 3n,
  m: 10n ** 6n,
  '': 10n ** 9n,
  k: 10n ** 12n,
  M: 10n ** 15n,
  G: 10n ** 18n,
  T: 10n ** 21n,
  P: 10n ** 24n,
  E: 10n ** 27n,
  Ki: 2n ** 10n * 10n ** 9n,
  Mi: 2n ** 20n * 10n ** 9n,
  Gi: 2n ** 30n * 10n ** 9n,
  Ti: 2n ** 40n * 10n ** 9n,
  Pi: 2n ** 50n * 10n ** 9n,
  Ei: 2n ** 60n * 10n ** 9n,
};

/** Billionths of a quantity, rounded up. Zero for what is none. */
export function billionthsOf(quantity: string | number): bigint {
  const found = /^([+-]?)(\d*)\.?(\d*)([eE][+-]?\d+|[A-Za-z]{0,2})$/.exec(String(quantity));
  if (found === null) return 0n;
  const [, sign = '', whole = '', fraction = '', suffix = ''] = found;
  const isExponent = /^[eE]/.test(suffix) && suffix.length > 1;
  const exponent = isExponent ? Number(suffix.slice(1)) : 0;
  const unit = UNITS[isExponent ? '' : suffix] ?? 0n;
  const digits = BigInt(`${whole}${fraction}` === '' ? '0' : `${whole}${fraction}`);
  const numerator = digits * unit * 10n ** BigInt(Math.max(exponent, 0));
  const denominator = 10n ** BigInt(fraction.length + Math.max(-exponent, 0));
  const rounded = (numerator + denominator - 1n) / denominator;
  return sign === '-' ? -rounded : rounded;
}

export function isWhole(quantity: string | number): boolean {
  return billionthsOf(quantity) % 10n ** 9n === 0n;
}
