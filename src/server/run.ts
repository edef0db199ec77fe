import { createServer } from 'node:http';
import type { Env } from '../base/env/env.js';
import { createNodeEnv } from '../base/env/node.js';
import type { RootLogger } from '../base/observe/logger.js';
import { allMethods } from '../gen/services.js';
import { clusterToForm } from './config/cluster-to-form.js';
import { featureStates } from './config/feature-gates.js';
import type { ServerConfig } from './config/server-config.js';
import { MemberDirectory } from './directory/member-directory.js';
import { peerListener } from './http/listeners.js';
import { MemberFacts } from './http/member-facts.js';
import type { Member } from './member/member.js';
import { LazyMetricsPage } from './metrics/lazy-page.js';
import { MemberMetrics } from './metrics/metrics.js';
import { BoundPorts } from './startup/bound-ports.js';
import { ClientPorts } from './startup/client-ports.js';
import { checkLimitChain } from './startup/limit-chain.js';
import { openMember } from './startup/open-member.js';
import { chooseTransport } from './startup/transport-choice.js';
import { AutoCompactor } from './upkeep/auto-compactor.js';
import { LeaderWatch } from './upkeep/leader-watch.js';

/** One member as a process sees it: real environment, real network, and the ports clients talk to. */
export interface RunningServer {
  readonly member: Member;
  readonly memberId: bigint;
  readonly clientUrls: readonly string[];
  /** Settles when the cluster has recorded this member's attributes, which takes a leader; never without one. */
  readonly ready: Promise<void>;
  /** Stops gracefully: no new calls, leadership handed over, everything flushed and closed. */
  stop(): Promise<void>;
  /** Settles when the server has stopped, for any cause. */
  readonly closed: Promise<void>;
}

/**
 * Starts a member and its ports.
 *
 * Throws: StartupError, which names cause and next step, when something the operator can mend is in the way. No port
 * stays bound then, and no directory is left that was not there before.
 */
export async function startServer(config: ServerConfig, log: RootLogger): Promise<RunningServer> {
  const server = new Server(config, log);
  await server.start();
  return server;
}

/** The steps of a start, in this order: directory looked at, ports bound, directory taken, member, services. */
class Server implements RunningServer {
  readonly ready: Promise<void>;
  readonly closed: Promise<void>;
  private readonly config: ServerConfig;
  private readonly log: RootLogger;
  private readonly env: Env;
  private readonly metrics: MemberMetrics;
  private readonly directory: MemberDirectory;
  private readonly peerHttp = createServer();
  private markReady: () => void = () => undefined;
  private markClosed: () => void = () => undefined;
  private parts: Serving | undefined;
  private stopping: Promise<void> | undefined;

  constructor(config: ServerConfig, log: RootLogger) {
    this.config = config;
    this.log = log;
    this.env = createNodeEnv({
      onFatal: (report) => {
        log.fatal(report.what, { next: report.next, cause: report.cause });
        log.flush();
      },
    });
    this.metrics = new MemberMetrics({
      methods: allMethods,
      isExtensive: config.metrics === 'extensive',
      features: featureStates(config.featureGates),
      wallMs: () => this.env.clock.wallMs(),
    });
    this.directory = new MemberDirectory(this.env, config.dataDir, config.walDir);
    this.ready = new Promise((resolve) => (this.markReady = resolve));
    this.closed = new Promise((resolve) => (this.markClosed = resolve));
  }

  async start(): Promise<void> {
    checkLimitChain(this.config);
    const { hasLog } = this.directory.inspect();
    const bootstrap = await clusterToForm(this.config, hasLog);
    const ports = await BoundPorts.bind(this.config, this.log, this.env.clock);
    let member: Member;
    try {
      this.directory.take();
      member = await openMember({
        env: this.env,
        config: this.config,
        log: this.log,
        metrics: this.metrics,
        ports,
        peerHttp: this.peerHttp,
        bootstrap,
        onPublished: this.markReady,
      });
    } catch (error) {
      ports.close();
      this.directory.abandon();
      throw error;
    }
    try {
      await this.serve(member, ports);
    } catch (error) {
      if (this.parts !== undefined) await this.stop();
      throw error;
    }
  }

  /** From here on this member makes promises to its peers, so what it wrote stays. */
  private async serve(member: Member, ports: BoundPorts): Promise<void> {
    const { config, log, env, metrics } = this;
    const facts = new MemberFacts(member);
    this.peerHttp.on('request', peerListener(facts));
    const page = new LazyMetricsPage(metrics, () => facts.sample());
    const monitoring = { health: facts, metrics, page, log };
    const createTransport = await chooseTransport(config);
    this.parts = {
      member,
      ports,
      page,
      clients: new ClientPorts(env, config, member, facts, monitoring, createTransport),
      compactor: new AutoCompactor(member.roles, config.autoCompaction, log),
      leaderWatch: new LeaderWatch({
        env,
        log,
        leadership: member.leadership,
        cluster: member.roles.cluster,
        isReachable: (id) => member.transport.connectedSince(id) !== undefined,
      }),
    };
    await new Promise<void>((resolve, reject) => {
      member.start((error) => (error === null ? resolve() : reject(error)));
    });
    this.parts.clients.serve(ports);
    this.parts.compactor.start();
    this.parts.leaderWatch.start();
  }

  private get serving(): Serving {
    if (this.parts === undefined) throw new Error('the server is not started');
    return this.parts;
  }

  get member(): Member {
    return this.serving.member;
  }

  get memberId(): bigint {
    return this.member.memberId;
  }

  get clientUrls(): readonly string[] {
    return this.config.listenClientUrls.map((url) => url.text);
  }

  stop(): Promise<void> {
    return (this.stopping ??= this.stopAll(this.serving));
  }

  private async stopAll(parts: Serving): Promise<void> {
    const { member, clients, compactor, leaderWatch } = parts;
    const { log, config } = this;
    log.info('stopping', { name: config.name, 'member-id': member.memberId });
    compactor.stop();
    leaderWatch.stop();
    // Watches would otherwise hold the ports open for the whole grace period.
    member.hub.close();
    for (const port of parts.ports.metrics) port.close();
    await clients.close();
    await parts.page.close();
    await new Promise<void>((resolve) => member.stop(resolve));
    parts.ports.close();
    this.directory.release();
    log.info('stopped', { name: config.name, 'member-id': member.memberId });
    log.flush();
    this.markClosed();
  }
}

/** Parts that run between start and stop. */
interface Serving {
  readonly member: Member;
  readonly ports: BoundPorts;
  readonly page: LazyMetricsPage;
  readonly clients: ClientPorts;
  readonly compactor: AutoCompactor;
  readonly leaderWatch: LeaderWatch;
}
