import { FlagTable } from '../../base/flags/table.js';
import { DEPRECATIONS } from './deprecations.js';
import { FORMER_FILE_KEYS, IGNORED_FLAGS } from './flags-ignored.js';
import { REFUSED_FLAGS } from './flags-refused.js';
import { SERVED_FLAGS } from './flags-served.js';
import { FLAG_GROUPS } from './groups.js';

/**
 * The table of server flags.
 *
 * Names, defaults and meanings are etcd's, so that its users' scripts and manifests work unchanged.
 * A flag this release cannot honour is either `ignored` (leaving it out changes no promise; a
 * warning is logged) or `refused` (running without it would be a different, often less safe,
 * server).
 *
 * Order: that of `--help` within a group.
 */
export const SERVER_FLAGS = new FlagTable({
  command: 'mainstay server',
  summary: 'Starts one member of a store that speaks the etcd v3 API.',
  envPrefix: 'ETCD_',
  groups: FLAG_GROUPS,
  served: SERVED_FLAGS,
  others: [...REFUSED_FLAGS, ...IGNORED_FLAGS],
  deprecations: DEPRECATIONS,
  formerKeys: FORMER_FILE_KEYS,
});
