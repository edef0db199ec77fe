import type { Bootstrap } from '../contract/bootstrap.js';
import { refuseIfBootstrapped } from './already-bootstrapped.js';
import { bootstrapCluster } from './bootstrap.js';
import type { ServerConfig } from './server-config.js';

/**
 * The cluster as the flags describe it, for a member that may have to form it. Undefined for a
 * member with data whose flags describe none.
 *
 * Throws: StartupError.
 */
export async function clusterToForm(
  config: ServerConfig,
  hasData: boolean,
): Promise<Bootstrap | undefined> {
  try {
    const { memberId, clusterId, members } = await bootstrapCluster(config);
    const bootstrap = {
      memberId,
      clusterId,
      members: members.map((m) => ({ id: m.id, name: m.name, peerURLs: m.peerUrls })),
    };
    if (!hasData) await refuseIfBootstrapped(bootstrap, config.dataDir);
    return bootstrap;
  } catch (error) {
    // With data in place the initial-* flags do not matter, so neither do their mistakes.
    if (hasData) return undefined;
    throw error;
  }
}
