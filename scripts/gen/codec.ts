/** Emits the TypeScript of one .proto file: types, and the binary codec of every message. */
import { sizeInt, writeInt } from '../../src/base/bytes/varint.js';
import type { EnumModel, FieldModel, FileModel, Kind, MessageModel } from './model.js';
import { emitJson } from './json.js';
import { hasPresence, jsonName } from './model.js';

const DEFAULTS: Record<Kind, string> = {
  bytes: 'EMPTY_BYTES',
  string: "''",
  bool: 'false',
  int32: '0',
  uint32: '0',
  int: '0',
  uint: '0',
  bigInt: '0n',
  bigUint: '0n',
  enum: '0',
  message: 'undefined',
};

const TYPES: Record<Kind, string> = {
  bytes: 'Uint8Array',
  string: 'string',
  bool: 'boolean',
  int32: 'number',
  uint32: 'number',
  int: 'number',
  uint: 'number',
  bigInt: 'bigint',
  bigUint: 'bigint',
  enum: 'number',
  message: '',
};

/** The source of src/gen/<file>.ts. */
export function emitFile(file: FileModel): string {
  const body: string[] = [];
  for (const e of file.enums) emitEnum(body, e);
  for (const m of file.messages) emitMessage(body, m);
  const text = body.join('\n');
  return [
    `// Generated from proto/${file.name}.proto by scripts/gen.ts. Do not edit.`,
    ...emitImports(file, text),
    '',
    text,
  ].join('\n');
}

/** The used exports of the runtime are read off the emitted text. */
function emitImports(file: FileModel, text: string): string[] {
  const lines: string[] = [];
  const values = new Map<string, Set<string>>();
  const types = new Map<string, Set<string>>();
  const add = (to: Map<string, Set<string>>, from: string, name: string): void => {
    const names = to.get(from) ?? new Set<string>();
    to.set(from, names.add(name));
  };
  for (const m of file.messages) {
    for (const f of m.fields) {
      if (f.typeFile === '' || f.typeFile === file.name) continue;
      if (f.kind === 'enum') {
        add(values, f.typeFile, `${f.typeName}Names`);
        continue;
      }
      add(types, f.typeFile, f.typeName);
      add(types, f.typeFile, `${f.typeName}Init`);
      for (const prefix of ['empty', 'size', 'write', 'fill']) {
        add(values, f.typeFile, prefix + f.typeName);
      }
      add(values, f.typeFile, `${jsonName(f.typeName)}ToJson`);
      add(values, f.typeFile, `${jsonName(f.typeName)}FromJson`);
    }
  }
  const runtime = (names: readonly string[]): string[] =>
    names.filter((name) => new RegExp(`\\b${name}\\b`).test(text));
  const emit = (keyword: string, names: Iterable<string>, from: string): void => {
    const list = [...names];
    if (list.length > 0) lines.push(`${keyword} { ${list.join(', ')} } from '${from}';`);
  };
  emit('import', runtime(RUNTIME_VALUES), '../base/protobuf/runtime.js');
  emit('import', runtime(JSON_VALUES), '../base/protobuf/json.js');
  emit('import type', runtime(JSON_TYPES), '../base/protobuf/json.js');
  for (const [from, names] of values) emit('import', names, `./${from}.js`);
  for (const [from, names] of types) emit('import type', names, `./${from}.js`);
  return lines;
}

const RUNTIME_VALUES = [
  'EMPTY_BYTES',
  'MAX_DEPTH',
  'Reader',
  'allocate',
  'finished',
  'sizeBig',
  'sizeBytes',
  'sizeInt',
  'sizeString',
  'tooDeep',
  'writeBig',
  'writeBytes',
  'writeInt',
  'writeString',
];
const JSON_VALUES = [
  'bytesFromJson',
  'bytesToJson',
  'boolFromJson',
  'enumFromJson',
  'enumToJson',
  'intFromJson',
  'int32FromJson',
  'uintFromJson',
  'uint32FromJson',
  'bigIntFromJson',
  'bigUintFromJson',
  'jsonField',
  'jsonList',
  'jsonObject',
  'stringFromJson',
  'twoOfOneof',
];
const JSON_TYPES = ['JsonObject', 'JsonValue'];

function comment(out: string[], text: string | null, indent = ''): void {
  if (text !== null && text !== '') {
    out.push(`${indent}/** ${text.trim().replace(/\s*\n\s*/g, ' ')} */`);
  }
}

function emitEnum(out: string[], e: EnumModel): void {
  comment(out, e.comment);
  out.push(`export const ${e.name} = {`);
  for (const v of e.values) out.push(`  ${v.name}: ${String(v.id)},`);
  out.push('} as const;');
  out.push(`export type ${e.name} = (typeof ${e.name})[keyof typeof ${e.name}];`);
  out.push(`export const ${e.name}Names: Readonly<Record<number, string>> = {`);
  for (const v of e.values) out.push(`  ${String(v.id)}: '${v.name}',`);
  out.push('};', '');
}

function emitMessage(out: string[], m: MessageModel): void {
  emitTypes(out, m);
  emitEmpty(out, m);
  emitSize(out, m);
  emitWrite(out, m);
  emitDecode(out, m);
  emitJson(out, m);
}

function valueType(f: FieldModel): string {
  return f.kind === 'message' ? f.typeName : TYPES[f.kind];
}

function emitTypes(out: string[], m: MessageModel): void {
  comment(out, m.comment);
  if (m.fields.length === 0) {
    out.push(`export type ${m.name} = Record<never, never>;`);
    out.push(`export type ${m.name}Init = Record<never, never>;`, '');
    return;
  }
  out.push(`export interface ${m.name} {`);
  for (const f of m.fields) {
    comment(out, f.comment, '  ');
    const t = valueType(f);
    out.push(`  ${f.name}: ${f.repeated ? `${t}[]` : hasPresence(f) ? `${t} | undefined` : t};`);
  }
  out.push('}', '', `export interface ${m.name}Init {`);
  for (const f of m.fields) {
    const t = f.kind === 'message' ? `${f.typeName}Init` : TYPES[f.kind];
    out.push(`  readonly ${f.name}?: ${f.repeated ? `readonly ${t}[]` : t} | undefined;`);
  }
  out.push('}', '');
}

function emitEmpty(out: string[], m: MessageModel): void {
  out.push(`export function empty${m.name}(): ${m.name} {`, '  return {');
  for (const f of m.fields) {
    const v = f.repeated ? '[]' : hasPresence(f) ? 'undefined' : DEFAULTS[f.kind];
    out.push(`    ${f.name}: ${v},`);
  }
  out.push('  };', '}', '');
}

function tagBytes(f: FieldModel): number[] {
  const tag = f.id * 8 + wireType(f);
  const bytes = new Uint8Array(sizeInt(tag));
  writeInt(bytes, 0, tag);
  return [...bytes];
}

function wireType(f: FieldModel): number {
  return isScalarVarint(f) && !f.repeated ? 0 : 2;
}

/** Varints are the only scalars that can be packed here. */
function isScalarVarint(f: FieldModel): boolean {
  return f.kind !== 'bytes' && f.kind !== 'string' && f.kind !== 'message';
}

/** An expression: bytes taken by the value, without the tag. */
function sizeOf(f: FieldModel, v: string): string {
  switch (f.kind) {
    case 'bytes':
      return `sizeBytes(${v})`;
    case 'string':
      return `sizeString(${v})`;
    case 'bool':
      return '1';
    case 'bigInt':
    case 'bigUint':
      return `sizeBig(${v})`;
    case 'message':
      throw new Error('messages are measured in two steps');
    default:
      return `sizeInt(${v})`;
  }
}

/** A statement that writes the value, without the tag. */
function writeOf(f: FieldModel, v: string): string {
  switch (f.kind) {
    case 'bytes':
      return `pos = writeBytes(buf, pos, ${v});`;
    case 'string':
      return `pos = writeString(buf, pos, ${v});`;
    case 'bool':
      return f.repeated || f.oneof !== null ? `buf[pos++] = ${v} ? 1 : 0;` : 'buf[pos++] = 1;';
    case 'bigInt':
    case 'bigUint':
      return `pos = writeBig(buf, pos, ${v});`;
    case 'message':
      return `pos = write${f.typeName}(${v}, buf, writeInt(buf, pos, size${f.typeName}(${v})));`;
    default:
      return `pos = writeInt(buf, pos, ${v});`;
  }
}

/** The condition under which a singular field is on the wire. */
function isSet(f: FieldModel, v: string): string {
  if (hasPresence(f)) return `${v} !== undefined`;
  switch (f.kind) {
    case 'bytes':
      return `${v} !== undefined && ${v}.length !== 0`;
    case 'bool':
      return `${v} === true`;
    default:
      return `${v} !== undefined && ${v} !== ${DEFAULTS[f.kind]}`;
  }
}

function emitSize(out: string[], m: MessageModel): void {
  if (m.fields.length === 0) {
    out.push(`export function size${m.name}(_m: ${m.name}Init): number {`, '  return 0;', '}', '');
    return;
  }
  out.push(`export function size${m.name}(m: ${m.name}Init): number {`, '  let n = 0;');
  for (const f of m.fields) {
    const v = `f${String(f.id)}`;
    const tag = String(tagBytes(f).length);
    out.push(`  const ${v} = m.${f.name};`);
    if (f.repeated) {
      const item = f.kind === 'message' ? `${f.typeName}Init` : TYPES[f.kind];
      const loop = `for (let i = 0; i < ${v}.length; i++)`;
      if (isScalarVarint(f)) {
        out.push(`  if (${v} !== undefined && ${v}.length !== 0) {`);
        out.push(`    const p = packed${m.name}${String(f.id)}(${v});`);
        out.push(`    n += ${tag} + sizeInt(p) + p;`, '  }');
      } else {
        out.push(`  if (${v} !== undefined) {`, `    ${loop} {`);
        emitItemSize(out, f, `${v}[i] as ${item}`, tag, '      ');
        out.push('    }', '  }');
      }
    } else {
      out.push(`  if (${isSet(f, v)}) {`);
      emitItemSize(out, f, v, tag, '    ');
      out.push('  }');
    }
  }
  out.push('  return n;', '}', '');
  for (const f of m.fields) if (f.repeated && isScalarVarint(f)) emitPackedSize(out, m, f);
}

function emitItemSize(out: string[], f: FieldModel, v: string, tag: string, indent: string): void {
  if (f.kind === 'message') {
    out.push(`${indent}const s = size${f.typeName}(${v});`);
    out.push(`${indent}n += ${tag} + sizeInt(s) + s;`);
  } else {
    out.push(`${indent}n += ${tag} + ${sizeOf(f, v)};`);
  }
}

function emitPackedSize(out: string[], m: MessageModel, f: FieldModel): void {
  const item = TYPES[f.kind];
  out.push(`function packed${m.name}${String(f.id)}(list: readonly ${item}[]): number {`);
  if (f.kind === 'bool') {
    out.push('  return list.length;');
  } else {
    out.push('  let n = 0;');
    out.push(
      `  for (let i = 0; i < list.length; i++) n += ${sizeOf(f, `list[i] as ${item}`)};`,
      '  return n;',
    );
  }
  out.push('}', '');
}

function emitWrite(out: string[], m: MessageModel): void {
  if (m.fields.length === 0) {
    out.push(
      `export function write${m.name}(_m: ${m.name}Init, _buf: Uint8Array, pos: number): number {`,
      '  return pos;',
      '}',
      '',
      `export function encode${m.name}(_m: ${m.name}Init): Uint8Array {`,
      '  return allocate(0);',
      '}',
      '',
    );
    return;
  }
  out.push(
    `export function write${m.name}(m: ${m.name}Init, buf: Uint8Array, pos: number): number {`,
  );
  for (const f of m.fields) {
    const v = `f${String(f.id)}`;
    const tag = tagBytes(f).map((b) => `buf[pos++] = ${String(b)};`);
    out.push(`  const ${v} = m.${f.name};`);
    if (!f.repeated) {
      out.push(`  if (${isSet(f, v)}) {`);
      for (const t of tag) out.push(`    ${t}`);
      out.push(`    ${writeOf(f, v)}`, '  }');
      continue;
    }
    const item = f.kind === 'message' ? `${f.typeName}Init` : TYPES[f.kind];
    const loop = `    for (let i = 0; i < ${v}.length; i++) {`;
    if (isScalarVarint(f)) {
      out.push(`  if (${v} !== undefined && ${v}.length !== 0) {`);
      for (const t of tag) out.push(`    ${t}`);
      out.push(`    pos = writeInt(buf, pos, packed${m.name}${String(f.id)}(${v}));`, loop);
      out.push(`      ${writeOf(f, `${v}[i] as ${item}`)}`);
    } else {
      out.push(`  if (${v} !== undefined) {`, loop);
      out.push(`      const v = ${v}[i] as ${item};`);
      for (const t of tag) out.push(`      ${t}`);
      out.push(`      ${writeOf(f, 'v')}`);
    }
    out.push('    }', '  }');
  }
  out.push('  return pos;', '}', '');
  out.push(
    `export function encode${m.name}(m: ${m.name}Init): Uint8Array {`,
    `  const buf = allocate(size${m.name}(m));`,
    `  return finished(buf, write${m.name}(m, buf, 0));`,
    '}',
    '',
  );
}

/** An expression that reads one value. */
function readOf(f: FieldModel): string {
  return f.kind === 'enum' ? 'r.int32(end)' : `r.${f.kind}(end)`;
}

function emitDecode(out: string[], m: MessageModel): void {
  const p = m.fields.length === 0 ? '_m' : 'm';
  out.push(
    `/** Reads fields up to \`end\` into \`${p}\`; a singular message that comes again is merged. */`,
    `export function fill${m.name}(${p}: ${m.name}, r: Reader, end: number, depth: number): void {`,
    '  if (depth < 0) throw tooDeep();',
    '  while (r.pos < end) {',
    '    const tag = r.tag(end);',
  );
  if (m.fields.length === 0) {
    out.push('    r.skip(tag, end);', '  }', '}', '');
  } else {
    out.push('    switch (tag) {');
    for (const f of m.fields) emitCase(out, m, f);
    out.push('      default:', '        r.skip(tag, end);', '    }', '  }', '}', '');
  }
  out.push(
    `export function decode${m.name}(buf: Uint8Array, start = 0, end = buf.length): ${m.name} {`,
    `  const m = empty${m.name}();`,
    `  fill${m.name}(m, new Reader(buf, start), end, MAX_DEPTH);`,
    '  return m;',
    '}',
    '',
  );
}

function emitCase(out: string[], m: MessageModel, f: FieldModel): void {
  const tag = f.id * 8;
  const clear = m.fields
    .filter((other) => f.oneof !== null && other.oneof === f.oneof && other !== f)
    .map((other) => `        m.${other.name} = undefined;`);
  if (f.kind === 'message') {
    out.push(`      case ${String(tag + 2)}: {`, '        const stop = r.stop(end);', ...clear);
    if (f.repeated) {
      out.push(`        const item = empty${f.typeName}();`, `        m.${f.name}.push(item);`);
    } else {
      out.push(`        const item = (m.${f.name} ??= empty${f.typeName}());`);
    }
    out.push(`        fill${f.typeName}(item, r, stop, depth - 1);`, '        break;', '      }');
    return;
  }
  const varint = isScalarVarint(f);
  out.push(`      case ${String(tag + (varint ? 0 : 2))}:`);
  if (!f.repeated) {
    out.push(...clear, `        m.${f.name} = ${readOf(f)};`, '        break;');
    return;
  }
  out.push(`        m.${f.name}.push(${readOf(f)});`, '        break;');
  if (varint) {
    out.push(
      `      case ${String(tag + 2)}: {`,
      '        const stop = r.stop(end);',
      `        while (r.pos < stop) m.${f.name}.push(${readOf(f).replace('end', 'stop')});`,
      '        break;',
      '      }',
    );
  }
}
