import type { Clock } from '../../base/env/env.js';
import { listenFailure } from '../../base/flags/startup-error.js';
import type { ServerUrl } from '../../base/flags/url.js';
import { BoundPort } from '../../base/net/bound-port.js';
import {
  connectionBound,
  ConnectionBudget,
  descriptorLimit,
  PEER_CONNECTIONS,
} from '../../base/net/descriptors.js';
import { listenOptions } from '../../base/net/listen-address.js';
import type { Logger } from '../../base/observe/logger.js';
import type { ServerConfig } from '../config/server-config.js';

/**
 * Every port of a member, bound before the member writes anything and before any client is served.
 * A port that is taken ends the start while nothing has happened yet.
 */
export class BoundPorts {
  readonly peer: BoundPort[] = [];
  readonly client: BoundPort[] = [];
  readonly metrics: BoundPort[] = [];

  /** Throws: StartupError that names URL and flag; nothing stays bound then. */
  static async bind(config: ServerConfig, log: Logger, clock: Clock): Promise<BoundPorts> {
    const ports = new BoundPorts();
    const bound = connectionBound(descriptorLimit());
    const clients = new ConnectionBudget('clients', bound, log, clock);
    const peers = new ConnectionBudget('peers', PEER_CONNECTIONS, log, clock);
    try {
      for (const url of config.listenPeerUrls) {
        ports.peer.push(await bind(url, 'listen-peer-urls', false, peers));
      }
      for (const url of config.listenClientUrls) {
        // Plain HTTP/1.1 clients may close their side and still read.
        ports.client.push(await bind(url, 'listen-client-urls', true, clients));
      }
      for (const url of config.listenMetricsUrls) {
        ports.metrics.push(await bind(url, 'listen-metrics-urls', true, clients));
      }
    } catch (error) {
      ports.close();
      throw error;
    }
    return ports;
  }

  /** Harmless for ports that their server has closed. */
  close(): void {
    for (const port of [...this.peer, ...this.client, ...this.metrics]) port.close();
  }
}

function bind(
  url: ServerUrl,
  flag: string,
  allowHalfOpen: boolean,
  budget: ConnectionBudget,
): Promise<BoundPort> {
  return new Promise((resolve, reject) => {
    BoundPort.bind({ where: listenOptions(url), allowHalfOpen, budget }, (error, port) => {
      if (port === null) reject(listenFailure(url.text, flag, error));
      else resolve(port);
    });
  });
}
