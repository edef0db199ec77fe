/** Numbers of resource quantities: `500m` is 0.5, `1Gi` is 2^30. */

const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** As near as a double comes; the API server refuses texts that are no quantity, which are 0 here. */
export function quantityValue(text: string): number {
  const parts = /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]{0,2})$/.exec(text);
  const factor = SUFFIXES[parts?.[2] ?? ''] ?? 0;
  const value = Number(parts?.[1] ?? 0) * factor;
  // 0.1 * 1024 and its like: thousandths are the finest that anything here asks for.
  return Number.isFinite(value) ? Math.round(value * 1e9) / 1e9 : 0;
}
