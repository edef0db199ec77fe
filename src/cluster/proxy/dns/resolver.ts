/** Answers DNS queries: names of the cluster from its zone, all others from the upstream servers. */
import * as dns from 'dns-packet';
import type { Answer } from 'dns-packet';
import type { ClusterEnv } from '../../env.js';
import type { Forwarded, Forwarder } from './forwarder.js';
import { encodeReply, parseQuery, RCODE, type Query, type Reply } from './message.js';
import type { ClusterZone } from './zone.js';

const CNAME_LIMIT = 8;

export class Resolver {
  private readonly env: ClusterEnv;
  private readonly zone: ClusterZone;
  private readonly forwarder: Pick<Forwarder, 'ask'>;

  constructor(env: ClusterEnv, zone: ClusterZone, forwarder: Pick<Forwarder, 'ask'>) {
    this.env = env;
    this.zone = zone;
    this.forwarder = forwarder;
  }

  /** The message to send back; undefined: none. Never rejects. */
  async answer(message: Buffer, isTcp: boolean): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if ('refusal' in query) return query.refusal;
    if ((query.question.class ?? 'IN') !== 'IN') return refuse(query, RCODE.REFUSED, isTcp);
    const isOwn = this.zone.owns(query.name);
    // An answer from part of the services would say of the others that they do not exist.
    if (isOwn && !this.zone.isComplete) return refuse(query, RCODE.SERVFAIL, isTcp);
    const records = this.zone.lookup(query.name);
    if (records !== undefined || isOwn) {
      return encodeReply(query, await this.local(query, records), isTcp);
    }
    const forwarded = await this.forwarder.ask(message, isTcp);
    if ('answer' in forwarded) return forwarded.answer;
    return refuse(query, codeOf(forwarded.failure), isTcp);
  }

  /** `records` undefined: the name does not exist. */
  private async local(query: Query, records: readonly Answer[] | undefined): Promise<Reply> {
    const common = { isAuthoritative: true, isRecursionAvailable: true } as const;
    // Clients compare the letters' case of the name with what they asked for.
    const answers = wanted(records ?? [], query).map((one) => ({
      ...one,
      name: query.question.name,
    }));
    const [first] = answers;
    if (first === undefined) {
      const rcode = records === undefined ? RCODE.NXDOMAIN : RCODE.NOERROR;
      const serial = Math.floor(this.env.wallMs() / 1000);
      return { ...common, rcode, authorities: [this.zone.authority(serial)] };
    }
    if (first.type === 'CNAME' && query.question.type !== 'CNAME') {
      const { rcode, answers: further } = await this.follow(first.data, query, CNAME_LIMIT);
      return { ...common, rcode, answers: [first, ...further] };
    }
    return { ...common, rcode: RCODE.NOERROR, answers, additionals: this.addressesOf(answers) };
  }

  /** Records behind an alias, which may lead out of the cluster. */
  private async follow(
    target: string,
    query: Query,
    depth: number,
  ): Promise<{ readonly rcode: number; readonly answers: readonly Answer[] }> {
    const name = target.toLowerCase();
    const records = this.zone.lookup(name);
    if (records !== undefined || this.zone.owns(name)) {
      const answers = wanted(records ?? [], query);
      const [first] = answers;
      const rcode = records === undefined ? RCODE.NXDOMAIN : RCODE.NOERROR;
      if (first?.type !== 'CNAME' || query.question.type === 'CNAME') return { rcode, answers };
      if (depth === 0) return { rcode: RCODE.SERVFAIL, answers: [] };
      const further = await this.follow(first.data, query, depth - 1);
      return { rcode: further.rcode, answers: [first, ...further.answers] };
    }
    const { type } = query.question;
    const asked = dns.encode({
      type: 'query',
      id: 0,
      flags: dns.RECURSION_DESIRED,
      questions: [{ type, name: target }],
    });
    const first = await this.forwarder.ask(asked, false);
    const forwarded = isCut(first) ? await this.forwarder.ask(asked, true) : first;
    if (!('answer' in forwarded)) return { rcode: codeOf(forwarded.failure), answers: [] };
    try {
      const { answers = [], flags = 0 } = dns.decode(forwarded.answer);
      return { rcode: flags & 0xf, answers };
    } catch {
      return { rcode: RCODE.SERVFAIL, answers: [] };
    }
  }

  /** Saves clients of SRV records the next question. */
  private addressesOf(answers: readonly Answer[]): Answer[] {
    const targets = answers.flatMap((one) => (one.type === 'SRV' ? [one.data.target] : []));
    return [...new Set(targets)].flatMap((target) => this.zone.lookup(target) ?? []);
  }
}

/** Records of the type asked for; an alias stands for all types. */
function wanted(records: readonly Answer[], { question }: Query): readonly Answer[] {
  const type: string = question.type;
  return records.filter((one) => one.type === type || one.type === 'CNAME' || type === 'ANY');
}

function isCut(forwarded: Forwarded): boolean {
  return 'answer' in forwarded && (forwarded.answer.readUInt16BE(2) & dns.TRUNCATED_RESPONSE) !== 0;
}

function refuse(query: Query, rcode: number, isTcp: boolean): Buffer {
  return encodeReply(query, { rcode, isRecursionAvailable: true }, isTcp);
}

function codeOf(failure: 'refused' | 'unanswered'): number {
  return failure === 'refused' ? RCODE.REFUSED : RCODE.SERVFAIL;
}
