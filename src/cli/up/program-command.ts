import { StartupError } from '../../base/flags/startup-error.js';

/** Arguments of Node.js that run this program again, before those of the program. */
export function programArgs(): string[] {
  const entry = process.argv[1];
  if (entry === undefined) {
    throw new StartupError('this program does not know its own file', 'run bin/mainstay.js');
  }
  return [...process.execArgv, entry];
}

/** The settings of our processes are all on their command lines; variables meant for others would contradict them. */
export function withoutEtcdVariables(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('ETCD_')));
}
