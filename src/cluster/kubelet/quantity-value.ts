import { parseQuantity } from '../api/quantity.js';

const ONE = 1_000_000_000n;

/** The number of a quantity, as near as a double comes: `500m` is 0.5, `1Gi` is 2^30. Throws: QuantityError. */
export function quantityValue(text: string): number {
  const { nanos } = parseQuantity(text);
  return Number(nanos / ONE) + Number(nanos % ONE) / Number(ONE);
}
