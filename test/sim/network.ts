import type { Done } from '../../src/base/env/env.js';
import type { PeerRequest } from '../../src/server/contract/roles.js';
import type { MemberId, Message } from '../../src/raft/types.js';
import { decodeMessages, encodeMessages } from '../../src/server/peer/codec.js';
import type { SnapshotSource } from '../../src/storage/engine.js';
import type { PeerAddress, PeerHandler, PeerTransport } from '../../src/server/peer/types.js';
import type { Random, Scheduler } from './scheduler.js';

/** Rates of one run; each seed draws its own. */
export interface NetworkFaults {
  readonly dropRate: number;
  readonly duplicateRate: number;
  readonly meanDelayMs: number;
  /** Probability that a message is held back so long that later ones overtake it. */
  readonly reorderRate: number;
}

/** A host's end of the simulated network: present while its process runs. */
export interface Endpoint {
  readonly id: MemberId;
  readonly handler: PeerHandler;
  /** Runs in the host's process: dropped if that process has ended meanwhile, delayed while it is paused. */
  run(callback: () => void): void;
}

/**
 * Carries encoded messages between hosts, with loss, delay, duplication, reordering and partitions. Snapshots and
 * requests travel the same links.
 */
export class Network {
  faults: NetworkFaults = { dropRate: 0, duplicateRate: 0, meanDelayMs: 1, reorderRate: 0 };
  private readonly endpoints = new Map<MemberId, Endpoint>();
  private readonly cut = new Set<string>();

  readonly scheduler: Scheduler;
  private readonly random: Random;

  constructor(scheduler: Scheduler, random: Random) {
    this.scheduler = scheduler;
    this.random = random;
  }

  attach(endpoint: Endpoint): void {
    this.endpoints.set(endpoint.id, endpoint);
  }

  /** The process is gone: its peers see a reset connection, and its address refuses. */
  detach(id: MemberId): void {
    this.endpoints.delete(id);
    for (const other of this.endpoints.values()) {
      if (this.isCut(id, other.id)) continue;
      this.scheduler.after(this.delay(), () => {
        if (!this.endpoints.has(id)) other.run(() => other.handler.onGone(id));
      });
    }
  }

  cutLink(from: MemberId, to: MemberId): void {
    this.cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.cut.clear();
  }

  isCut(from: MemberId, to: MemberId): boolean {
    return this.cut.has(`${from}>${to}`);
  }

  private delay(): number {
    return 0.05 + this.random.exponential(this.faults.meanDelayMs);
  }

  /** Delivers `act` at the receiver zero, one or more times. Returns false when the link is down. */
  deliver(from: MemberId, to: MemberId, act: (endpoint: Endpoint) => void): boolean {
    if (this.isCut(from, to)) return false;
    if (this.random.chance(this.faults.dropRate)) return true;
    const copies = this.random.chance(this.faults.duplicateRate) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const held = this.random.chance(this.faults.reorderRate) ? this.random.between(10, 400) : 0;
      this.scheduler.after(this.delay() + held, () => {
        const endpoint = this.endpoints.get(to);
        if (endpoint !== undefined && !this.isCut(from, to)) endpoint.run(() => act(endpoint));
      });
    }
    return true;
  }

  isUp(id: MemberId): boolean {
    return this.endpoints.has(id);
  }
}

const SNAPSHOT_CHUNK_DELAY_MS = 1;
const SNAPSHOT_TIMEOUT_MS = 3000;

export class SimTransport implements PeerTransport {
  private readonly id: MemberId;
  private readonly network: Network;
  private readonly runInHost: (callback: () => void) => void;
  /** Sees every message before it leaves; for invariants about messages. */
  private readonly onSend: (message: Message) => void;
  private handler: PeerHandler | null = null;

  constructor(
    id: MemberId,
    network: Network,
    runInHost: (callback: () => void) => void,
    onSend: (message: Message) => void,
  ) {
    this.id = id;
    this.network = network;
    this.runInHost = runInHost;
    this.onSend = onSend;
  }

  start(handler: PeerHandler, done: Done): void {
    this.handler = handler;
    this.network.attach({ id: this.id, handler, run: this.runInHost });
    done(null);
  }

  setPeers(_peers: readonly PeerAddress[]): void {
    // Addresses are ids here.
  }

  send(messages: readonly Message[]): void {
    for (const m of messages) {
      this.onSend(m);
      const bytes = encodeMessages([m]);
      const sent = this.network.deliver(this.id, m.to, (endpoint) => {
        endpoint.handler.onMessages(this.id, decodeMessages(bytes));
      });
      if (!sent) this.runInHost(() => this.handler?.onUnreachable(m.to));
    }
  }

  sendSnapshot(message: Message, source: SnapshotSource, done: Done): void {
    const chunks: Uint8Array[] = [];
    const fail = (why: string): void => {
      source.close();
      done(new Error(why));
    };
    const pull = (): void => {
      source.next((error, chunk) => {
        if (error !== null) return fail(error.message);
        if (chunk !== null) {
          chunks.push(Uint8Array.from(chunk));
          this.network.scheduler.after(SNAPSHOT_CHUNK_DELAY_MS, () => this.runInHost(pull));
          return;
        }
        source.close();
        const header = encodeMessages([message]);
        let ended = false;
        const end = (outcome: Error | null): void => {
          if (ended) return;
          ended = true;
          this.runInHost(() => done(outcome));
        };
        // A transfer or answer that is lost shows as a broken connection, sooner or later.
        this.network.scheduler.after(SNAPSHOT_TIMEOUT_MS, () => end(new Error('connection lost')));
        let taken = false;
        const sent = this.network.deliver(this.id, message.to, (endpoint) => {
          // A connection delivers once.
          if (taken) return;
          taken = true;
          receive(endpoint, this.id, header, chunks, (outcome) => {
            this.network.deliver(message.to, this.id, () => end(outcome));
          });
        });
        if (!sent) end(new Error('link down'));
      });
    };
    pull();
  }

  request(
    to: MemberId,
    kind: PeerRequest,
    body: Uint8Array,
    timeoutMs: number,
    done: (error: Error | null, body: Uint8Array | null) => void,
  ): void {
    let ended = false;
    const end = (error: Error | null, reply: Uint8Array | null): void => {
      if (ended) return;
      ended = true;
      this.runInHost(() => done(error, reply));
    };
    this.network.scheduler.after(timeoutMs, () => end(new Error('timeout'), null));
    const copy = Uint8Array.from(body);
    const sent = this.network.deliver(this.id, to, (endpoint) => {
      endpoint.handler.onRequest(this.id, kind, copy, (error, reply) => {
        const answer = reply === null ? null : Uint8Array.from(reply);
        this.network.deliver(to, this.id, () => end(error, answer));
      });
    });
    if (!sent) end(new Error('link down'), null);
  }

  connectedSince(id: MemberId): number | undefined {
    return this.network.isUp(id) && !this.network.isCut(this.id, id) ? 0 : undefined;
  }

  close(done: () => void): void {
    this.network.detach(this.id);
    done();
  }
}

function receive(
  endpoint: Endpoint,
  from: MemberId,
  header: Uint8Array,
  chunks: readonly Uint8Array[],
  outcome: (error: Error | null) => void,
): void {
  const message = decodeMessages(header)[0];
  if (message === undefined) return outcome(new Error('no message'));
  const sink = endpoint.handler.onSnapshot(from, message);
  if (sink === null) return outcome(new Error('refused'));
  let i = 0;
  const next = (error: Error | null): void => {
    if (error !== null) {
      sink.abort();
      return outcome(error);
    }
    const chunk = chunks[i++];
    if (chunk !== undefined) return sink.write(chunk, next);
    sink.finish((finishError) => {
      if (finishError === null) endpoint.handler.onMessages(from, [message]);
      outcome(finishError);
    });
  };
  next(null);
}
