/** The program of a container: what its configuration and its image's make together. */
import { RuntimeError, type ContainerConfig } from './runtime.js';
import type { ImageConfig } from './images/image-config.js';

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** `command` replaces the entrypoint and drops the image's arguments; `args` replaces those. Throws: RuntimeError InvalidArgument. */
export function processArgs(config: ContainerConfig, image: ImageConfig): string[] {
  const { command, args } = config;
  const own = command.length > 0 ? args : args.length > 0 ? args : image.cmd;
  const all = [...(command.length > 0 ? command : image.entrypoint), ...own];
  if (all.length === 0) throw new RuntimeError('InvalidArgument', 'no command specified');
  return all;
}

/** `NAME=value`: the image's, then the configuration's over it. */
export function processEnv(
  config: ContainerConfig,
  image: ImageConfig,
  hostname: string,
): string[] {
  const merged = new Map<string, string>([['PATH', DEFAULT_PATH]]);
  if (hostname !== '') merged.set('HOSTNAME', hostname);
  if (config.hasTty) merged.set('TERM', 'xterm');
  for (const entry of image.env) {
    const equals = entry.indexOf('=');
    if (equals > 0) merged.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  for (const { name, value } of config.env) merged.set(name, value);
  return [...merged].map(([name, value]) => `${name}=${value}`);
}
