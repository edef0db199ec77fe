/**
 * kube-proxy: keeps the kernel's rules at what services and endpoint slices say. It looks at the
 * whole each time, and writes what differs.
 */
import { spawn } from 'node:child_process';
import type { Logger } from '../../base/observe/logger.js';
import type { Pod, Service } from '../../gen/kube-core-v1.js';
import type { EndpointSlice } from '../../gen/kube-discovery-v1.js';
import type { KubeClient } from '../client/client.js';
import { Informer, type InformerHandler } from '../client/informer.js';
import { ENDPOINT_SLICES, PODS, SERVICES } from '../client/resource-types.js';
import { SharedInformers } from '../client/shared-informers.js';
import { sleep, type ClusterEnv } from '../env.js';
import { hostPortEntries } from './host-ports.js';
import { rulesetOf, type Ruleset } from './nftables/ruleset.js';
import { serviceEntries, type ServiceEntry } from './service-table.js';

/** Label of a slice that names its service. */
const SERVICE_NAME = 'kubernetes.io/service-name';
/** Changes within this time are written together. */
const GATHER_MS = 30;
const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 30_000;

/** Where rules go: the kernel, or a forwarder in user space. */
export interface RuleSink {
  apply(ruleset: Ruleset, entries: readonly ServiceEntry[]): Promise<void>;
  stop(): Promise<void>;
}

export interface ProxySetup {
  readonly client: KubeClient;
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly nodeName: string;
  /** Shared with others of the process; services and slices are among them. */
  readonly informers: SharedInformers;
  readonly sink: RuleSink;
}

export class Proxy {
  private readonly setup: ProxySetup;
  private readonly pods: Informer<Pod>;
  private readonly slicesByService: (key: string) => readonly EndpointSlice[];
  private readonly stopping = new AbortController();
  private hasChanged = true;
  private wake: () => void = () => {};
  private loop: Promise<void> | undefined;
  private lastUdp: ReadonlySet<string> = new Set();

  constructor(setup: ProxySetup) {
    this.setup = setup;
    const { informers, env, log, client, nodeName } = setup;
    const changed = (): void => {
      this.hasChanged = true;
      this.wake();
    };
    const handler: InformerHandler<unknown> = {
      onAdd: changed,
      onUpdate: changed,
      onDelete: changed,
    };
    informers.of(SERVICES).addHandler(handler);
    const slices = informers.of(ENDPOINT_SLICES);
    slices.addHandler(handler);
    this.slicesByService = slices.index(({ metadata }) => [
      `${metadata.namespace ?? ''}/${metadata.labels?.[SERVICE_NAME] ?? ''}`,
    ]);
    this.pods = new Informer({
      env,
      log,
      client: client.resource(PODS),
      fieldSelector: `spec.nodeName=${nodeName}`,
    });
    this.pods.addHandler(handler);
  }

  /** Begins to follow. The informers are started by who shares them. */
  start(): void {
    this.pods.start();
    this.loop = this.run();
  }

  /** Leaves the rules as they are: the next proxy takes them over. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake();
    await this.pods.stop();
    await this.loop;
    await this.setup.sink.stop();
  }

  private async run(): Promise<void> {
    const { env, log, informers } = this.setup;
    const { signal } = this.stopping;
    if (!(await informers.synced()) || !(await this.pods.synced)) return;
    let retryMs = RETRY_MIN_MS;
    while (!signal.aborted) {
      if (!this.hasChanged) await new Promise<void>((resolve) => (this.wake = resolve));
      if (signal.aborted) return;
      await sleep(env, GATHER_MS, signal);
      this.hasChanged = false;
      try {
        await this.sync();
        retryMs = RETRY_MIN_MS;
      } catch (error) {
        log.error('rules of services were not written', { error });
        this.hasChanged = true;
        await sleep(env, retryMs, signal);
        retryMs = Math.min(2 * retryMs, RETRY_MAX_MS);
      }
    }
  }

  private async sync(): Promise<void> {
    const { informers, nodeName, sink } = this.setup;
    const services = informers.of(SERVICES).list();
    const entries = serviceEntries(services, (service) => this.slicesOf(service), nodeName);
    await sink.apply(rulesetOf(entries, hostPortEntries(this.pods.list())), entries);
    this.forgetUdp(entries);
  }

  private slicesOf({ metadata }: Service): readonly EndpointSlice[] {
    return this.slicesByService(`${metadata.namespace ?? ''}/${metadata.name ?? ''}`);
  }

  /** UDP has no end of a connection: what the kernel remembers of endpoints that are gone is deleted. */
  private forgetUdp(entries: readonly ServiceEntry[]): void {
    const current = new Set<string>();
    for (const { protocol, clusterIp, internal } of entries) {
      if (protocol !== 'udp') continue;
      for (const { ip } of internal) current.add(`${clusterIp} ${ip}`);
    }
    for (const pair of this.lastUdp) {
      if (current.has(pair)) continue;
      const [clusterIp = '', ip = ''] = pair.split(' ');
      const args = ['-D', '-p', 'udp', '--orig-dst', clusterIp, '--reply-src', ip];
      const child = spawn('conntrack', args, { stdio: 'ignore' });
      child.on('error', () => {
        this.setup.log.debug('conntrack is not installed; UDP clients may wait for a time-out');
      });
    }
    this.lastUdp = current;
  }
}
