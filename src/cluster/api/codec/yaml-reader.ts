/**
 * Reads YAML as Kubernetes does: YAML 1.1 with merge keys, turned into JSON, so that every scalar
 * is a string, number, bool or null and every key a string. Only the first document counts.
 *
 * Ref: sigs.k8s.io/yaml.
 */
import {
  Composer,
  type CST,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type Alias,
  type Document,
  type YAMLMap,
} from 'yaml';
import type { JsonObject, JsonValue } from '../object.js';
import { BodyError, bodyOf, textOf, type Body } from './body.js';
import { JsonSyntaxError, readJson, setOwn } from './json-reader.js';
import { resolveScalar } from './yaml-scalar.js';

/** The first line of a finding that tells repeated keys; one line each follows. */
export const YAML_FINDINGS = 'yaml: unmarshal errors:';

const CONTROL_CHARACTER = /[^\P{Cc}\t\n\r\x85]/u;

/** Depth to which values may contain values; less than of JSON, as the library recurses deeper. */
const MAX_DEPTH = 200;

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
  if (CONTROL_CHARACTER.test(text)) throw new BodyError('yaml: control characters are not allowed');
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

function parse(text: string, lines: LineCounter): Document.Parsed | undefined {
  const composer = new Composer({
    prettyErrors: false,
    schema: 'failsafe',
    uniqueKeys: false,
    logLevel: 'silent',
  });
  const [document] = composer.compose(tokensOf(text, lines));
  const [error] = document?.errors ?? [];
  if (error === undefined) return document;
  const { line } = lines.linePos(error.pos[0]);
  throw new BodyError(`yaml: line ${line}: ${TEXTS[error.code] ?? error.message}`);
}

/** The composer recurses into nested values, so their depth is bounded here. */
function* tokensOf(text: string, lines: LineCounter): Generator<CST.Token> {
  lines.addNewLine(0);
  const parser = new Parser(lines.addNewLine);
  for (const lexeme of new Lexer().lex(text)) {
    yield* parser.next(lexeme);
    if (parser.stack.length > MAX_DEPTH) throw tooDeep();
  }
  yield* parser.end();
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
  /** Aliases whose values are being read. */
  private readonly open = new Set<string>();

  constructor(document: Document.Parsed, lines: LineCounter) {
    this.document = document;
    this.lines = lines;
  }

  value(node: unknown, depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw tooDeep();
    if (this.open.size > 0 && ++this.aliased > MAX_ALIASED)
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
    if (this.open.has(node.source))
      throw new BodyError(`yaml: anchor '${node.source}' value contains itself`);
    this.open.add(node.source);
    const value = this.value(target, depth);
    this.open.delete(node.source);
    return value;
  }

  private map(node: YAMLMap, depth: number): JsonObject {
    const object: JsonObject = {};
    for (const { key, value } of node.items) {
      const inner = this.value(value, depth);
      if (isScalar(key) && key.type === 'PLAIN' && key.value === '<<') {
        this.merge(object, inner);
        continue;
      }
      const name = this.key(key, depth);
      if (Object.hasOwn(object, name)) this.repeat(key, name);
      setOwn(object, name, inner);
    }
    return object;
  }

  /** Of several maps, the first counts. */
  private merge(object: JsonObject, from: JsonValue): void {
    for (const source of Array.isArray(from) ? from.toReversed() : [from]) {
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
  return new BodyError(`yaml: exceeded max depth of ${MAX_DEPTH}`);
}
