/** Programs of a container without a root file system of its own: the image's if it runs here, else the node's. */
import { delimiter, join } from 'node:path';
import { isProgram } from '../../../base/programs.js';
import { RuntimeError } from '../runtime.js';

/** `env` with a PATH in which the image's folders stand before the node's. */
export function withImagePath(env: readonly string[], imageRoot: string): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const entry of env) {
    const equals = entry.indexOf('=');
    variables[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  const own = (variables['PATH'] ?? '').split(delimiter);
  const folders = [
    ...own.map((folder) => join(imageRoot, folder)),
    ...own,
    ...(process.env['PATH'] ?? '').split(delimiter),
  ];
  variables['PATH'] = [...new Set(folders)].join(delimiter);
  return variables;
}

/** Throws: RuntimeError Internal when there is no such program. */
export function findProgram(
  name: string,
  env: Readonly<Record<string, string>>,
  imageRoot: string,
): string {
  const candidates = name.includes('/')
    ? [join(imageRoot, name), name]
    : (env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, name));
  const found = candidates.find(isProgram);
  if (found !== undefined) return found;
  throw new RuntimeError('Internal', `exec: "${name}": executable file not found`);
}
