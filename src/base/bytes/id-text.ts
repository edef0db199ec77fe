/** The text form of an id in logs and tables: lower-case hexadecimal without padding. */
export function idText(id: bigint): string {
  return id.toString(16);
}
