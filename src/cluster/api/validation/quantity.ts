/** Quantities as validation looks at them. They are well-formed: decoding refuses others. */
import { parseQuantity } from '../quantity.js';

const ONE = 1_000_000_000n;

/** Billionths of a quantity. */
export function billionthsOf(quantity: string): bigint {
  return parseQuantity(quantity).nanos;
}

export function isWhole(quantity: string): boolean {
  return billionthsOf(quantity) % ONE === 0n;
}
