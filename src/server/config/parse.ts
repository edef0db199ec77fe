/**
 * Reads a member's configuration: command line and ETCD_* variables, or a config file alone. The
 * result is either a checked ServerConfig or the text that the process prints before it exits.
 * Nothing here prints or exits by itself.
 */
import { parseCommandLine } from '../../base/flags/command-line.js';
import { parseEnv } from '../../base/flags/env.js';
import type { Variables } from '../../base/flags/env.js';
import { readConfigFile } from '../../base/flags/file.js';
import { helpText, usageText } from '../../base/flags/help.js';
import { assembleSettings } from '../../base/flags/settings.js';
import type { Assignment } from '../../base/flags/settings.js';
import { StartupError, formatStartupError } from '../../base/flags/startup-error.js';
import { UsageError } from '../../base/flags/usage-error.js';
import { versionText } from '../../base/flags/version.js';
import { SERVER_FLAGS } from './flags.js';
import { buildServerConfig } from './server-config.js';
import type { ServerConfig } from './server-config.js';

export type ParsedServerConfig =
  | {
      readonly kind: 'run';
      readonly config: ServerConfig;
      /** To be logged once the logger exists. */
      readonly warnings: readonly string[];
    }
  | {
      readonly kind: 'exit';
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
    };

/**
 * Reads the configuration of a member.
 *
 * `argv` holds what follows the command's name. Reads the config file if one is named.
 */
export function parseServerConfig(argv: readonly string[], env: Variables): ParsedServerConfig {
  try {
    return parse(argv, env);
  } catch (error) {
    if (error instanceof UsageError)
      return exit(2, '', `${error.message}\n${usageText(SERVER_FLAGS)}`);
    if (error instanceof StartupError) return exit(1, '', formatStartupError(error));
    throw error;
  }
}

function parse(argv: readonly string[], env: Variables): ParsedServerConfig {
  const commandLine = parseCommandLine(SERVER_FLAGS, argv);
  if (commandLine.help) return exit(0, helpText(SERVER_FLAGS), '');
  const [leftover] = commandLine.rest;
  if (leftover !== undefined) {
    throw new StartupError(
      `'${leftover}' is not a valid flag`,
      'write flags as --name=value; see mainstay server --help',
    );
  }
  if (commandLine.version) return exit(0, versionText(), '');
  const warnings: string[] = [];
  let assignments: readonly Assignment[];
  const file = configFileOf(commandLine.assignments, env);
  if (file === undefined) {
    const fromEnv = parseEnv(SERVER_FLAGS, env, commandLine.assignments);
    warnings.push(...fromEnv.warnings);
    assignments = [...fromEnv.assignments, ...commandLine.assignments];
  } else {
    const fromFile = readConfigFile(SERVER_FLAGS, file);
    warnings.push(...fromFile.warnings);
    if (commandLine.assignments.some((assignment) => assignment.spec.name !== 'config-file')) {
      warnings.push(`all flags but --config-file are ignored: the settings come from ${file}`);
    }
    assignments = fromFile.assignments;
  }
  const settings = assembleSettings(SERVER_FLAGS, assignments);
  const { config, warnings: configWarnings } = buildServerConfig(settings);
  warnings.push(...settings.warnings, ...configWarnings);
  return { kind: 'run', config, warnings };
}

function configFileOf(assignments: readonly Assignment[], env: Variables): string | undefined {
  let path = env['ETCD_CONFIG_FILE'] ?? '';
  for (const { spec, value } of assignments) {
    if (spec.name === 'config-file' && typeof value === 'string') path = value;
  }
  return path === '' ? undefined : path;
}

function exit(code: number, stdout: string, stderr: string): ParsedServerConfig {
  return { kind: 'exit', code, stdout, stderr };
}
