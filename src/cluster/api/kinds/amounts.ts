/** Amounts of resources as objects hold them. */
import { formatQuantity, parseQuantity, roundUpToMilli } from '../quantity.js';

/** Rounds amounts up to thousandths, which is the finest that Kubernetes keeps. */
export function roundAmounts(amounts: Record<string, string> | undefined): void {
  for (const [name, amount] of Object.entries(amounts ?? {})) {
    const exact = parseQuantity(amount);
    const rounded = roundUpToMilli(exact);
    if (amounts !== undefined && rounded !== exact) amounts[name] = formatQuantity(rounded);
  }
}
