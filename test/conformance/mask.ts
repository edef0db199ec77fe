/**
 * Masks etcdctl's output for comparison: compared is everything but ids, times, ports, sizes and versions. Revisions are kept, as
 * distance from the revision at the case's start.
 */
import { jsonCodecs } from '../../src/gen/json-codecs.js';
import type { TestCluster } from '../support/servers.js';

/** Number of the store's revision at the start of the case, from which others are counted. */
export interface MaskContext {
  readonly cluster: TestCluster;
  readonly base: number;
}

const REVISIONS = new Set(['revision', 'create_revision', 'mod_revision', 'compact_revision']);
const MASKED = new Set([
  'cluster_id',
  'member_id',
  'raft_term',
  'ID',
  'id',
  'leader',
  'lease',
  'dbSize',
  'raftIndex',
  'raftTerm',
  'raftAppliedIndex',
  'hash',
  'took',
]);

/**
 * Not compared at all: fields of newer releases, and a size that may be zero, which JSON leaves
 * out.
 */
const DROPPED = new Set([
  'storageVersion',
  'dbSizeQuota',
  'downgradeInfo',
  'hash_revision',
  'dbSizeInUse',
]);

export function maskText(text: string, context: MaskContext): string {
  return withoutAddresses(text, context)
    .replace(/^(panic: .*)\n[^]*$/m, '$1')
    .split('\n')
    .filter((line) => !isLogLine(line))
    .map((line) => maskLine(line, context))
    .join('\n');
}

/** A message in protobuf form, in the same readable form as a JSON one. */
export function maskProtobuf(bytes: Uint8Array, method: string, context: MaskContext): string {
  const codec = jsonCodecs.get(method);
  if (codec === undefined) throw new Error(`there is no method ${method}`);
  return maskJson(codec.responseToJson(bytes), context);
}

function withoutAddresses(text: string, context: MaskContext): string {
  let masked = text;
  for (const member of context.cluster.members) {
    masked = masked
      .replaceAll(member.endpoint, `<${member.name}>`)
      .replaceAll(`127.0.0.1:${member.peerPort}`, `<peer of ${member.name}>`);
  }
  return masked;
}

/** Lines that etcdctl's libraries log on their own are not the command's output. */
function isLogLine(line: string): boolean {
  return line.startsWith('{"level":');
}

function maskLine(line: string, context: MaskContext): string {
  if (/^[[{]/.test(line)) {
    try {
      return maskJson(JSON.parse(line), context);
    } catch {
      // Not JSON after all: masked like any other text.
    }
  }
  const field = /^"(\w+)" : (-?\d+)$/.exec(line);
  if (field !== null)
    return `"${field[1]}" : ${maskField(field[1] ?? '', Number(field[2]), context)}`;
  if (/^[|│+┌├└]/.test(line)) return maskTableRow(line, context);
  return maskWords(line, context);
}

function maskWords(line: string, context: MaskContext): string {
  return line
    .replace(/\b[0-9a-f]{12,16}\b/g, '<id>')
    .replace(/took = \S+/g, 'took = <time>')
    .replace(/\b3\.\d+\.\d+\b/g, '<version>')
    .replace(/\b[\d.]+ [kMG]?B\b/g, '<size>')
    .replace(/remaining\(\d+s\)/g, 'remaining(<time>)')
    .replace(/revision (\d+)/g, (_, n: string) => `revision ${relative(Number(n), context)}`)
    .replace(/^(<\w+>, <id>, <version>, .*), \d+, \d+, \d+, $/, '$1, <n>, <n>, <n>, ');
}

/** Column widths follow the values, so only the cells are compared. */
function maskTableRow(line: string, context: MaskContext): string {
  if (!/^[|│]/.test(line)) return '+';
  const cells = line.slice(1, -1).split(/[|│]/);
  const masked = cells.map((cell) =>
    maskWords(cell.trim(), context)
      .replace(/^[\d.]+(µs|ms|s)$/, '<time>')
      .replace(/^\d+$/, '<n>'),
  );
  return `| ${masked.join(' | ')} |`;
}

/** The `fields` format names things in its own way. */
function maskField(name: string, value: number, context: MaskContext): string {
  if (/^(Create|Mod|Compact)?Revision$/.test(name)) return relative(value, context);
  if (/^(Count|Version|Delete[d]?|TTL|GrantedTTL)$/.test(name)) return String(value);
  return value === 0 ? '0' : '<n>';
}

function relative(revision: number, context: MaskContext): string {
  if (revision <= 1) return String(revision);
  return revision < context.base ? '<before>' : `r+${revision - context.base}`;
}

function maskJson(value: unknown, context: MaskContext): string {
  return JSON.stringify(maskValue('', value, context));
}

function maskValue(name: string, value: unknown, context: MaskContext): unknown {
  if (REVISIONS.has(name)) return relative(Number(value), context);
  if (name === 'ttl' && Number(value) > 0) return '<time>';
  if (name === 'version' && /^3[.]/.test(String(value))) return '<version>';
  if (MASKED.has(name) && typeof value !== 'object') return '<masked>';
  if (Array.isArray(value)) return value.map((item) => maskValue(name, item, context));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([key]) => !DROPPED.has(key));
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, v]) => [key, maskValue(key, v, context)]));
}
