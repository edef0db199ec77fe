/** For a shell: nothing in `text` is special. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
