/** An image's configuration (OCI image-spec config.md, also Docker's): the part that a runtime acts on. */
import { goArchitecture } from '../../../base/flags/version.js';
import { RuntimeError } from '../runtime.js';

export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly stopSignal: string;
}

export interface ParsedConfig {
  readonly config: ImageConfig;
  /** Digests of the layers' uncompressed archives, lowest first. */
  readonly diffIds: readonly string[];
}

interface ConfigJson {
  readonly architecture?: string;
  readonly os?: string;
  readonly config?: {
    readonly Entrypoint?: string[] | null;
    readonly Cmd?: string[] | null;
    readonly Env?: string[] | null;
    readonly User?: string;
    readonly WorkingDir?: string;
    readonly StopSignal?: string;
  } | null;
  readonly rootfs?: { readonly diff_ids?: string[] };
}

/** This machine's. */
export const ARCHITECTURE = goArchitecture();

/** Throws: RuntimeError InvalidArgument for a configuration that is none, or an image of another platform. */
export function parseConfig(text: string): ParsedConfig {
  const json = parseJson(text) as ConfigJson;
  const os = json.os ?? 'linux';
  const architecture = json.architecture ?? ARCHITECTURE;
  if (os !== 'linux' || architecture !== ARCHITECTURE) {
    throw new RuntimeError(
      'InvalidArgument',
      `image is for ${os}/${architecture}, this node runs linux/${ARCHITECTURE}`,
    );
  }
  const diffIds = json.rootfs?.diff_ids;
  if (diffIds === undefined || diffIds.length === 0) {
    throw new RuntimeError('InvalidArgument', 'image configuration names no layers');
  }
  const config = json.config ?? {};
  return {
    diffIds,
    config: {
      entrypoint: config.Entrypoint ?? [],
      cmd: config.Cmd ?? [],
      env: config.Env ?? [],
      user: config.User ?? '',
      workingDir: config.WorkingDir ?? '',
      stopSignal: config.StopSignal ?? '',
    },
  };
}

/** Throws: RuntimeError InvalidArgument. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RuntimeError(
      'InvalidArgument',
      `image has a file that is not JSON: ${String(error)}`,
    );
  }
}
