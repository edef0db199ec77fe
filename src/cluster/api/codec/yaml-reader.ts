/**
 * Reads YAML as Kubernetes does: YAML 1.1 with merge keys, turned into JSON, so that every scalar
 * is a string, number, bool or null and every key a string. Only the first document counts.
 *
 * Ref: sigs.k8s.io/yaml.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type Alias,
  type Document,
  type YAMLMap,
} from 'yaml';
import type { JsonObject, JsonValue } from '../object.js';
import { BodyError, bodyOf, textOf, type Body } from './body.js';
import { JsonSyntaxError, MAX_NESTING, readJson, setOwn } from './json-reader.js';
import { resolveScalar } from './yaml-scalar.js';

/** The first line of a finding that tells repeated keys; one line each follows. */
export const YAML_FINDINGS = 'yaml: unmarshal errors:';

/** Values that aliases may stand for altogether. */
const MAX_ALIASED = 100_000;

export interface YamlDocument {
  readonly value: JsonValue;
  /** As `line 7: key "a" already set in map`. */
  readonly repeated: readonly string[];
}

/** Throws: BodyError. */
export function readYamlBody(bytes: Uint8Array): Body {
  const { value, repeated } = readYaml(textOf(bytes));
  const body = bodyOf({ value, duplicates: new Map() });
  if (repeated.length === 0) return body;
  const finding = [YAML_FINDINGS, ...repeated.map((line) => `  ${line}`)].join('\n');
  return {
    ...body,
    convert: (schema) => {
      const { object, unknownFields } = body.convert(schema);
      return { object, unknownFields: [finding, ...unknownFields] };
    },
  };
}

/** Throws: BodyError. */
export function readYaml(text: string): YamlDocument {
  const json = asJson(text);
  if (json !== undefined) return { value: json, repeated: [] };
  const lines = new LineCounter();
  const document = parse(text, lines);
  if (document === undefined) return { value: null, repeated: [] };
  const reader = new YamlReader(document, lines);
  return { value: reader.value(document.contents, 0), repeated: reader.repeated };
}

/** JSON is YAML, and what programs send; undefined if the text is not plain JSON. */
function asJson(text: string): JsonValue | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const { value, duplicates } = readJson(text);
    return duplicates.size === 0 ? value : undefined;
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined;
    throw error;
  }
}

function parse(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  let documents;
  try {
    documents = parseAllDocuments(text, {
      lineCounter,
      prettyErrors: false,
      schema: 'failsafe',
      uniqueKeys: false,
      logLevel: 'silent',
    });
  } catch (error) {
    // The parser recurses into nested values.
    if (error instanceof RangeError) throw tooDeep();
    throw error;
  }
  const [document] = documents as Document.Parsed[];
  const [error] = document?.errors ?? [];
  if (error === undefined) return document;
  const { line } = lineCounter.linePos(error.pos[0]);
  throw new BodyError(`yaml: line ${line}: ${TEXTS[error.code] ?? error.message}`);
}

/** Texts that people know from Kubernetes. */
const TEXTS: Readonly<Record<string, string>> = {
  BLOCK_AS_IMPLICIT_KEY: 'mapping values are not allowed in this context',
  TAB_AS_INDENT: 'found character that cannot start any token',
};

class YamlReader {
  readonly repeated: string[] = [];
  private readonly document: Document.Parsed;
  private readonly lines: LineCounter;
  private aliased = 0;
  private isInAlias = false;

  constructor(document: Document.Parsed, lines: LineCounter) {
    this.document = document;
    this.lines = lines;
  }

  value(node: unknown, depth: number): JsonValue {
    if (depth > MAX_NESTING) throw tooDeep();
    if (this.isInAlias && ++this.aliased > MAX_ALIASED)
      throw new BodyError('yaml: document contains excessive aliasing');
    if (isScalar(node)) return resolveScalar(node);
    if (isSeq(node)) return node.items.map((item) => this.value(item, depth + 1));
    if (isMap(node)) return this.map(node, depth + 1);
    return isAlias(node) ? this.alias(node, depth + 1) : null;
  }

  private alias(node: Alias, depth: number): JsonValue {
    const target = node.resolve(this.document);
    if (target === undefined)
      throw new BodyError(`yaml: unknown anchor '${node.source}' referenced`);
    const wasInAlias = this.isInAlias;
    this.isInAlias = true;
    const value = this.value(target, depth);
    this.isInAlias = wasInAlias;
    return value;
  }

  private map(node: YAMLMap, depth: number): JsonObject {
    const object: JsonObject = {};
    const own = new Set<string>();
    for (const { key, value } of node.items) {
      const inner = this.value(value, depth);
      if (isScalar(key) && key.type === 'PLAIN' && key.value === '<<') {
        this.merge(object, inner);
        continue;
      }
      const name = this.key(key, depth);
      if (own.has(name)) this.repeat(key, name);
      own.add(name);
      setOwn(object, name, inner);
    }
    return object;
  }

  private merge(object: JsonObject, from: JsonValue): void {
    for (const source of Array.isArray(from) ? from : [from]) {
      if (typeof source !== 'object' || source === null || Array.isArray(source))
        throw new BodyError('yaml: map merge requires map or sequence of maps as the value');
      for (const [name, value] of Object.entries(source)) setOwn(object, name, value ?? null);
    }
  }

  private key(node: unknown, depth: number): string {
    const key = this.value(node, depth);
    if (typeof key === 'object')
      throw new BodyError(`yaml: invalid map key: ${JSON.stringify(key)}`);
    return String(key);
  }

  private repeat(key: unknown, name: string): void {
    const { line } = this.lines.linePos(isScalar(key) ? (key.range?.[0] ?? 0) : 0);
    this.repeated.push(`line ${line}: key ${JSON.stringify(name)} already set in map`);
  }
}

function tooDeep(): BodyError {
  return new BodyError(`yaml: exceeded max depth of ${MAX_NESTING}`);
}
