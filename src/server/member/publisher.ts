import type { Env } from '../../base/env/env.js';
import { ETCD_CLUSTER_VERSION } from '../../base/flags/version.js';
import type { Logger } from '../../base/observe/logger.js';
import { durationText } from '../../base/observe/units.js';
import { encodeClusterVersionCommand, encodeMemberAttributesCommand } from '../../gen/peer.js';
import type { MemberId } from '../../raft/types.js';
import { CommandKind } from '../contract/command.js';
import type { ClusterView, Leadership, Proposals } from '../contract/roles.js';

const RETRY_MS = 1000;

export interface PublisherParts {
  readonly env: Env;
  readonly log: Logger;
  readonly memberId: MemberId;
  readonly name: string;
  readonly clientUrls: readonly string[];
  readonly proposals: Proposals;
  readonly leadership: Leadership;
  readonly cluster: Pick<ClusterView, 'clusterId' | 'clusterVersion'>;
  /** Runs once the log holds this member's attributes and they are applied here. */
  readonly onPublished: (() => void) | undefined;
}

/**
 * Publishes this member through the log: its name and client URLs; as leader, the cluster's
 * version.
 */
export class Publisher {
  private readonly p: PublisherParts;
  private isStopped = false;

  constructor(parts: PublisherParts) {
    this.p = parts;
  }

  stop(): void {
    this.isStopped = true;
  }

  /** Repeats until the log holds it. */
  readonly publishAttributes = (): void => {
    if (this.isStopped) return;
    const { env, log, memberId, name, clientUrls, proposals, cluster } = this.p;
    const request = encodeMemberAttributesCommand({ memberId, name, clientUrls: [...clientUrls] });
    proposals.propose(CommandKind.memberAttributes, request, (error) => {
      if (error === null) {
        log.info('published local member to cluster through raft', {
          'local-member-id': memberId,
          'local-member-attributes': `{Name:${name} ClientURLs:[${clientUrls.join(' ')}]}`,
          'cluster-id': cluster.clusterId,
          'publish-timeout': durationText(proposals.timeoutMs),
        });
        this.p.onPublished?.();
      } else if (!this.isStopped) {
        // Without a leader this repeats; the watch for leaders warns of that.
        log.debug('failed to publish local member to cluster through raft', {
          'local-member-id': memberId,
          'publish-timeout': durationText(proposals.timeoutMs),
          error: error.message,
        });
        env.after(RETRY_MS, this.publishAttributes);
      }
    });
  };

  /** Called on the leader; repeats while it leads. */
  readonly decideClusterVersion = (): void => {
    const { env, log, proposals, leadership, cluster } = this.p;
    if (this.isStopped || !leadership.isLeader) return;
    if (cluster.clusterVersion === ETCD_CLUSTER_VERSION) return;
    const request = encodeClusterVersionCommand({ version: ETCD_CLUSTER_VERSION });
    proposals.propose(CommandKind.clusterVersion, request, (error) => {
      if (error === null || this.isStopped) return;
      log.warn('could not record the cluster version', { error: error.message });
      env.after(RETRY_MS, this.decideClusterVersion);
    });
  };
}
