/** Emits the JSON mapping of a message. */
import { hasPresence, jsonName } from './model.js';
import type { FieldModel, MessageModel } from './model.js';

export function emitJson(out: string[], m: MessageModel): void {
  emitToJson(out, m);
  emitFromJson(out, m);
}

function emitToJson(out: string[], m: MessageModel): void {
  const name = `${jsonName(m.name)}ToJson`;
  if (m.fields.length === 0) {
    out.push(`export function ${name}(_m: ${m.name}): JsonObject {`, '  return {};', '}', '');
    return;
  }
  out.push(`export function ${name}(m: ${m.name}): JsonObject {`, '  const o: JsonObject = {};');
  for (const f of m.fields) {
    if (f.repeated) {
      out.push(
        `  if (m.${f.name}.length !== 0) {`,
        '    const list: JsonValue[] = [];',
        `    for (const v of m.${f.name}) list.push(${toJson(f, 'v')});`,
        `    o['${f.protoName}'] = list;`,
        '  }',
      );
    } else {
      out.push(`  if (${isShown(f)}) o['${f.protoName}'] = ${toJson(f, `m.${f.name}`)};`);
    }
  }
  out.push('  return o;', '}', '');
}

function isShown(f: FieldModel): string {
  if (hasPresence(f)) return `m.${f.name} !== undefined`;
  switch (f.kind) {
    case 'bytes':
    case 'string':
      return `m.${f.name}.length !== 0`;
    case 'bool':
      return `m.${f.name}`;
    case 'bigInt':
    case 'bigUint':
      return `m.${f.name} !== 0n`;
    default:
      return `m.${f.name} !== 0`;
  }
}

function toJson(f: FieldModel, v: string): string {
  switch (f.kind) {
    case 'bytes':
      return `bytesToJson(${v})`;
    case 'int':
    case 'uint':
    case 'bigInt':
    case 'bigUint':
      return `String(${v})`;
    case 'enum':
      return `enumToJson(${v}, ${f.typeName}Names)`;
    case 'message':
      return `${jsonName(f.typeName)}ToJson(${v})`;
    default:
      return v;
  }
}

function emitFromJson(out: string[], m: MessageModel): void {
  const name = `${jsonName(m.name)}FromJson`;
  out.push(`export function ${name}(j: unknown, depth = MAX_DEPTH): ${m.name} {`);
  if (m.fields.length === 0) {
    out.push(`  jsonObject(j, '${m.name}', depth);`, `  return empty${m.name}();`, '}', '');
    return;
  }
  out.push(
    `  const o = jsonObject(j, '${m.name}', depth);`,
    `  const m = empty${m.name}();`,
    '  let v: unknown;',
  );
  for (const f of m.fields) {
    out.push(
      `  v = jsonField(o, '${f.protoName}', '${f.name}');`,
      '  if (v !== undefined) {',
      ...oneofCheck(m, f),
    );
    if (f.repeated) {
      out.push(
        `    for (const item of jsonList(v, '${f.protoName}')) {`,
        ...pushFromJson(f),
        '    }',
      );
    } else {
      out.push(`    m.${f.name} = ${fromJson(f, 'v')};`);
    }
    out.push('  }');
  }
  out.push('  return m;', '}', '');
}

function oneofCheck(m: MessageModel, f: FieldModel): string[] {
  if (f.oneof === null) return [];
  const earlier = m.fields.filter((other) => other.oneof === f.oneof && other.id < f.id);
  if (earlier.length === 0) return [];
  const set = earlier.map((other) => `m.${other.name} !== undefined`).join(' || ');
  return [`    if (${set}) throw twoOfOneof('${f.oneof}');`];
}

function pushFromJson(f: FieldModel): string[] {
  if (f.kind !== 'enum') return [`      m.${f.name}.push(${fromJson(f, 'item')});`];
  return [
    `      const value = enumFromJson(item, '${f.protoName}', ${f.typeName}Names);`,
    `      if (value !== undefined) m.${f.name}.push(value);`,
  ];
}

function fromJson(f: FieldModel, v: string): string {
  switch (f.kind) {
    case 'enum':
      return `enumFromJson(${v}, '${f.protoName}', ${f.typeName}Names) ?? 0`;
    case 'message':
      return `${jsonName(f.typeName)}FromJson(${v}, depth - 1)`;
    default:
      return `${f.kind}FromJson(${v}, '${f.protoName}')`;
  }
}
