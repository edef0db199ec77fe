/** DNS messages (RFC 1035, RFC 6891) as the cluster's server reads and makes them. */
import * as dns from 'dns-packet';
import type { Answer, OptAnswer, Question } from 'dns-packet';

export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
} as const;
/** Of an EDNS version that is not 0; its upper bits stand in the OPT record. */
const BADVERS = 16;

const HEADER = 12;
const QUESTION_TAIL = 4;
const FLAG_RESPONSE = 0x8000;
const OPCODE = 0x7800;
const MAX_LABEL = 63;
const MAX_PLAIN = 512;
/** As much as passes every usual network in one packet (DNS Flag Day 2020). */
const MAX_UDP = 1232;
const MAX_TCP = 65_535;

export interface Query {
  readonly id: number;
  readonly isRecursionDesired: boolean;
  readonly question: Question;
  /** Name of the question in lower case. */
  readonly name: string;
  /** The question as it was sent: answers repeat its letters' case. */
  readonly rawQuestion: Buffer;
  readonly edns: OptAnswer | undefined;
}

/** A message that is no query that can be looked up; undefined: not to be answered at all. */
export interface BadQuery {
  readonly refusal: Buffer | undefined;
}

export interface Reply {
  readonly rcode: number;
  /** The cluster's own names. */
  readonly isAuthoritative?: boolean;
  readonly isRecursionAvailable: boolean;
  readonly answers?: readonly Answer[];
  readonly authorities?: readonly Answer[];
  readonly additionals?: readonly Answer[];
}

export function parseQuery(message: Buffer): Query | BadQuery {
  if (message.length < HEADER) return { refusal: undefined };
  const flags = message.readUInt16BE(2);
  if ((flags & FLAG_RESPONSE) !== 0) return { refusal: undefined };
  if ((flags & OPCODE) !== 0) return { refusal: headerOnly(message, RCODE.NOTIMP) };
  try {
    const rawQuestion = questionOf(message);
    const { questions = [], additionals = [], id = 0 } = dns.decode(message);
    const [question] = questions;
    if (question === undefined || rawQuestion === undefined) {
      return { refusal: headerOnly(message, RCODE.FORMERR) };
    }
    const query = {
      id,
      isRecursionDesired: (flags & dns.RECURSION_DESIRED) !== 0,
      question,
      name: question.name.toLowerCase(),
      rawQuestion,
      edns: additionals.find((record): record is OptAnswer => record.type === 'OPT'),
    };
    if (query.edns === undefined || query.edns.ednsVersion === 0) return query;
    return { refusal: encodeReply(query, { rcode: BADVERS, isRecursionAvailable: true }, true) };
  } catch {
    return { refusal: headerOnly(message, RCODE.FORMERR) };
  }
}

/** Over UDP it is cut to what the client takes, and says so. */
export function encodeReply(query: Query, reply: Reply, isTcp: boolean): Buffer {
  const udpSize = Math.max(MAX_PLAIN, Math.min(query.edns?.udpPayloadSize ?? 0, MAX_UDP));
  const limit = isTcp ? MAX_TCP : udpSize;
  const whole = assemble(query, reply, 0);
  if (whole.length <= limit) return whole;
  const { answers = [], ...rest } = reply;
  const bare = { ...rest, authorities: [], additionals: [] };
  const withoutExtras = assemble(query, { ...bare, answers }, 0);
  if (withoutExtras.length <= limit) return withoutExtras;
  let size = assemble(query, bare, 0).length;
  const fitting: Answer[] = [];
  for (const answer of answers) {
    size += dns.encodingLength({ answers: [answer] }) - HEADER;
    if (size > limit) break;
    fitting.push(answer);
  }
  return assemble(query, { ...bare, answers: fitting }, dns.TRUNCATED_RESPONSE);
}

function assemble(query: Query, reply: Reply, furtherFlags: number): Buffer {
  const { answers = [], authorities = [], additionals = [] } = reply;
  const flags =
    (reply.isAuthoritative === true ? dns.AUTHORITATIVE_ANSWER : 0) |
    (query.isRecursionDesired ? dns.RECURSION_DESIRED : 0) |
    (reply.isRecursionAvailable ? dns.RECURSION_AVAILABLE : 0) |
    (reply.rcode & 0xf) |
    furtherFlags;
  const edns: OptAnswer = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: MAX_UDP,
    extendedRcode: reply.rcode >> 4,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  const encoded = dns.encode({
    type: 'response',
    id: query.id,
    flags,
    answers: [...answers],
    authorities: [...authorities],
    additionals: query.edns === undefined ? [...additionals] : [...additionals, edns],
  });
  // No name is compressed, so records may be moved.
  const header = encoded.subarray(0, HEADER);
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, query.rawQuestion, encoded.subarray(HEADER)]);
}

/** Of a message with one question; undefined for others. */
function questionOf(message: Buffer): Buffer | undefined {
  if (message.readUInt16BE(4) !== 1) return undefined;
  let at = HEADER;
  for (let length = message.readUInt8(at); length !== 0; length = message.readUInt8(at)) {
    if (length > MAX_LABEL) return undefined;
    at += 1 + length;
  }
  const end = at + 1 + QUESTION_TAIL;
  return end > message.length ? undefined : message.subarray(HEADER, end);
}

function headerOnly(message: Buffer, rcode: number): Buffer {
  const header = Buffer.alloc(HEADER);
  message.copy(header, 0, 0, 2);
  const kept = message.readUInt16BE(2) & (OPCODE | dns.RECURSION_DESIRED);
  header.writeUInt16BE(FLAG_RESPONSE | kept | rcode, 2);
  return header;
}
