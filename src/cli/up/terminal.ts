/** Lines for the user of a foreground command. */

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function count(n: number, noun: string): string {
  return n === 1 ? `${n} ${noun}` : `${n} ${noun}s`;
}
