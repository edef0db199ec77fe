/**
 * Turns proto/kubernetes/*.txt into src/gen/kube-schema.ts, the table as text, and one file of
 * TypeScript types a package: src/gen/kube-core-v1.ts and so on.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  parseMessage,
  type Field,
  type Message,
  type ScalarType,
} from '../../src/cluster/api/schema/message.js';

interface Package {
  /** As `core.v1`. */
  readonly name: string;
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly messages: readonly { readonly parsed: Message; readonly text: string }[];
}

const TYPESCRIPT: Readonly<Record<ScalarType, string>> = {
  string: 'string',
  bool: 'boolean',
  int32: 'number',
  int64: 'number',
  double: 'number',
  bytes: 'string',
  time: 'string',
  microtime: 'string',
  duration: 'string',
  quantity: 'string',
  intOrString: 'number | string',
  raw: 'unknown',
  fieldsV1: 'unknown',
  json: 'unknown',
  any: 'unknown',
  schemaOrBool: 'unknown',
  schemaOrArray: 'unknown',
  schemaOrStringArray: 'unknown',
};

/** File name -> text, for all packages in `dir`. */
export function emitKube(dir: string): Map<string, string> {
  const names = readdirSync(dir).filter((name) => name.endsWith('.txt'));
  const packages = names.sort().map((name) => readPackage(readFileSync(join(dir, name), 'utf8')));
  const outputs = new Map<string, string>([['kube-schema.ts', emitTable(packages)]]);
  for (const { name, messages } of packages) {
    outputs.set(`${moduleOf(name)}.ts`, emitTypes(name, messages));
  }
  return outputs;
}

function readPackage(text: string): Package {
  const [head = '', ...blocks] = text.trimEnd().split('\n\n');
  const match = /^package (\S+) group (\S+) version (\S+)$/.exec(head);
  if (match === null) throw new Error(`not the head of a package: ${head}`);
  const [, name = '', group = '', version = ''] = match;
  return {
    name,
    group: group === 'core' ? '' : group,
    version,
    messages: blocks.map((block) => ({ parsed: parseMessage(name, block), text: block })),
  };
}

function emitTable(packages: readonly Package[]): string {
  const lines = ['/** Generated from proto/kubernetes by scripts/gen.ts. */', ''];
  lines.push('/** group/version -> package of its messages. */');
  lines.push('export const KUBE_KINDS: ReadonlyMap<string, string> = new Map([');
  for (const { name, group, version } of packages) {
    lines.push(`  [${JSON.stringify(`${group}/${version}`)}, ${JSON.stringify(name)}],`);
  }
  lines.push(']);', '');
  lines.push(
    'export const KUBE_MESSAGES: ReadonlyMap<string, { readonly isKind: boolean; readonly text: string }> = new Map([',
  );
  for (const { messages } of packages) {
    for (const { parsed, text } of messages) {
      const isKind = parsed.kind !== '';
      lines.push(
        `  [${JSON.stringify(parsed.name)}, { isKind: ${isKind}, text: ${JSON.stringify(text)} }],`,
      );
    }
  }
  lines.push(']);', '');
  return lines.join('\n');
}

function emitTypes(packageName: string, messages: Package['messages']): string {
  const imports = new Map<string, Set<string>>();
  const body: string[] = [];
  const refer = (messageName: string): string => {
    const at = messageName.lastIndexOf('.');
    const from = messageName.slice(0, at);
    const name = messageName.slice(at + 1);
    if (from === packageName) return name;
    const names = imports.get(from) ?? new Set();
    imports.set(from, names.add(name));
    // One name may exist in several packages.
    return from === 'meta.v1' ? name : `${prefixOf(from)}.${name}`;
  };
  for (const { parsed } of messages) body.push(...emitInterface(parsed, refer), '');
  const head = ['/** Generated from proto/kubernetes by scripts/gen.ts. */'];
  for (const [from, names] of imports) {
    const what =
      from === 'meta.v1' ? `{ ${[...names].sort().join(', ')} }` : `* as ${prefixOf(from)}`;
    head.push(`import type ${what} from './${moduleOf(from)}.js';`);
  }
  return [...head, '', ...body].join('\n');
}

function emitInterface(message: Message, refer: (messageName: string) => string): string[] {
  const name = message.name.slice(message.name.lastIndexOf('.') + 1);
  const isKind = message.kind !== '';
  const parents = message.fields
    .filter((field) => field.isInline && field.message !== 'meta.v1.TypeMeta')
    .map((field) => refer(field.message));
  const lines = [
    `export interface ${name}${parents.length > 0 ? ` extends ${parents.join(', ')}` : ''} {`,
  ];
  if (message.fields.some((field) => field.message === 'meta.v1.TypeMeta')) {
    lines.push(isKind ? '  apiVersion: string;' : '  apiVersion?: string | undefined;');
    lines.push(isKind ? '  kind: string;' : '  kind?: string | undefined;');
  }
  for (const field of message.fields) {
    if (field.isInline) continue;
    const isThere =
      field.isRequired || (isKind && (field.name === 'metadata' || field.name === 'spec'));
    const key = /^[A-Za-z_$][\w$]*$/.test(field.name) ? field.name : JSON.stringify(field.name);
    const type = typeOf(field, refer);
    lines.push(isThere ? `  ${key}: ${type};` : `  ${key}?: ${type} | undefined;`);
  }
  lines.push('}');
  return lines;
}

function typeOf(field: Field, refer: (messageName: string) => string): string {
  const one = field.scalar === '' ? refer(field.message) : TYPESCRIPT[field.scalar];
  if (field.shape === 'single') return one;
  const element = one.includes('|') ? `(${one})` : one;
  if (field.shape === 'list') return `${element}[]`;
  return `Record<string, ${field.shape === 'map' ? one : `${element}[]`}>`;
}

const moduleOf = (packageName: string): string => `kube-${packageName.replace('.', '-')}`;
const prefixOf = (packageName: string): string =>
  packageName.replace(/\.(.)/, (_, first: string) => first.toUpperCase());
