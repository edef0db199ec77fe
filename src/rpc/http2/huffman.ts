/**
 * The Huffman code of HPACK (RFC 7541, appendix B), as a state machine that eats four bits at a step.
 *
 * The code is canonical: the lengths alone determine it. No code is shorter than five bits, so a step emits at
 * most one symbol.
 */
import { invariant } from '../../base/invariant.js';

/** Length in bits of each symbol's code, one base-36 digit for each of the symbols 0 to 255 and the end mark. */
const CODE_LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq' +
  'u';

const END_OF_STRING = 256;
const STEPS = 16;
/** A step is `next state << 16 | flags | symbol`. */
const EMITS = 0x100;
const FAILS = 0x200;
const SYMBOL_MASK = 0xff;
/** Padding is a prefix of the end mark (all ones) shorter than one byte. */
const MAX_PADDING_BITS = 7;

interface Machine {
  readonly steps: Uint32Array;
  /** 1 for each state in which a string may end. */
  readonly mayEnd: Uint8Array;
}

const MACHINE = buildMachine();

/**
 * Decodes `source[start..end)` into `target` and returns the number of bytes written, or -1 when the input is not a
 * valid code or the output does not fit.
 */
export function huffmanDecode(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  const { steps, mayEnd } = MACHINE;
  const room = target.length;
  let state = 0;
  let written = 0;
  for (let at = start; at < end; at++) {
    const byte = source[at] ?? 0;
    const high = steps[state * STEPS + (byte >> 4)] ?? FAILS;
    if ((high & FAILS) !== 0) return -1;
    if ((high & EMITS) !== 0) {
      if (written === room) return -1;
      target[written++] = high & SYMBOL_MASK;
    }
    const low = steps[(high >>> 16) * STEPS + (byte & 15)] ?? FAILS;
    if ((low & FAILS) !== 0) return -1;
    if ((low & EMITS) !== 0) {
      if (written === room) return -1;
      target[written++] = low & SYMBOL_MASK;
    }
    state = low >>> 16;
  }
  return mayEnd[state] === 1 ? written : -1;
}

/** Builds the code tree as pairs of children (negative: a symbol), then flattens walks of four bits. */
function buildMachine(): Machine {
  const children: number[] = [0, 0];
  const depths: number[] = [0];
  const onlyOnes: boolean[] = [true];
  for (const { symbol, code, length } of canonicalCodes()) {
    let node = 0;
    for (let bit = length - 1; bit > 0; bit--) {
      const branch = node * 2 + ((code >>> bit) & 1);
      let child = children[branch] ?? 0;
      if (child === 0) {
        child = depths.length;
        children[branch] = child;
        children.push(0, 0);
        depths.push((depths[node] ?? 0) + 1);
        onlyOnes.push(onlyOnes[node] === true && ((code >>> bit) & 1) === 1);
      }
      node = child;
    }
    children[node * 2 + (code & 1)] = -1 - symbol;
  }
  const steps = new Uint32Array(depths.length * STEPS);
  const mayEnd = new Uint8Array(depths.length);
  for (let state = 0; state < depths.length; state++) {
    const depth = depths[state] ?? 0;
    mayEnd[state] = onlyOnes[state] === true && depth <= MAX_PADDING_BITS ? 1 : 0;
    for (let bits = 0; bits < STEPS; bits++) {
      steps[state * STEPS + bits] = walk(children, state, bits);
    }
  }
  return { steps, mayEnd };
}

function walk(children: readonly number[], from: number, bits: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const child = children[node * 2 + ((bits >>> bit) & 1)] ?? 0;
    if (child >= 0) {
      node = child;
      continue;
    }
    const symbol = -1 - child;
    if (symbol === END_OF_STRING) return FAILS;
    emitted = EMITS | symbol;
    node = 0;
  }
  return ((node << 16) | emitted) >>> 0;
}

function canonicalCodes(): { symbol: number; code: number; length: number }[] {
  const lengths = Array.from(CODE_LENGTHS, (digit) => Number.parseInt(digit, 36));
  invariant(lengths.length === END_OF_STRING + 1, 'the Huffman table is incomplete');
  const symbols = lengths.map((length, symbol) => ({ symbol, length }));
  symbols.sort((a, b) => (a.length === b.length ? a.symbol - b.symbol : a.length - b.length));
  const codes: { symbol: number; code: number; length: number }[] = [];
  let code = 0;
  let previous = symbols[0]?.length ?? 0;
  for (const { symbol, length } of symbols) {
    code <<= length - previous;
    previous = length;
    codes.push({ symbol, code, length });
    code++;
  }
  return codes;
}
