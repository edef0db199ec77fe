/** Emits the tables of all RPCs: names and kinds, and the JSON codecs the gateway needs for them. */
import { jsonName } from './model.js';
import type { MethodModel } from './model.js';

const HEAD = '// Generated from the services in proto/ by scripts/gen.ts. Do not edit.';

/** The source of src/gen/services.ts. */
export function emitServices(methods: readonly MethodModel[]): string {
  const out = [
    HEAD,
    '',
    'export interface MethodInfo {',
    '  readonly service: string;',
    '  readonly method: string;',
    '  readonly path: string;',
    "  readonly type: 'unary' | 'server_stream' | 'client_stream' | 'bidi_stream';",
    '  readonly request: string;',
    '  readonly response: string;',
    '}',
    '',
  ];
  const names: string[] = [];
  for (const [service, list] of byService(methods)) {
    names.push(`${service}Methods`);
    out.push(`export const ${service}Methods: readonly MethodInfo[] = [`);
    for (const m of list) {
      out.push('  {');
      out.push(`    service: '${m.service}',`, `    method: '${m.method}',`);
      out.push(`    path: '${pathOf(m)}',`, `    type: '${m.type}',`);
      out.push(`    request: '${m.request}',`, `    response: '${m.response}',`, '  },');
    }
    out.push('];', '');
  }
  out.push('export const allMethods: readonly MethodInfo[] = [');
  for (const name of names) out.push(`  ...${name},`);
  out.push('];', '');
  return out.join('\n');
}

/** The source of src/gen/json-codecs.ts. */
export function emitJsonCodecs(methods: readonly MethodModel[]): string {
  const imports = new Map<string, Set<string>>();
  const use = (file: string, ...names: string[]): void => {
    const set = imports.get(file) ?? new Set<string>();
    for (const name of names) set.add(name);
    imports.set(file, set);
  };
  const rows: string[] = [];
  for (const m of methods) {
    const from = `${jsonName(m.request)}FromJson`;
    const to = `${jsonName(m.response)}ToJson`;
    use(m.requestFile, from, `encode${m.request}`);
    use(m.responseFile, to, `decode${m.response}`);
    rows.push(
      '  [',
      `    '${pathOf(m)}',`,
      '    {',
      `      requestFromJson: (j) => encode${m.request}(${from}(j)),`,
      `      responseToJson: (bytes) => ${to}(decode${m.response}(bytes)),`,
      '    },',
      '  ],',
    );
  }
  const out = [HEAD, "import type { JsonObject } from '../base/protobuf/json.js';"];
  for (const [file, names] of imports) {
    out.push(`import { ${[...names].join(', ')} } from './${file}.js';`);
  }
  out.push(
    '',
    '/** Between JSON and the bytes a handler takes and gives. Both throw DecodeError. */',
    'export interface JsonCodec {',
    '  readonly requestFromJson: (j: unknown) => Uint8Array;',
    '  readonly responseToJson: (bytes: Uint8Array) => JsonObject;',
    '}',
    '',
    '/** By method path, as in `/etcdserverpb.KV/Range`. */',
    'export const jsonCodecs: ReadonlyMap<string, JsonCodec> = new Map<string, JsonCodec>([',
    ...rows,
    ']);',
    '',
  );
  return out.join('\n');
}

function pathOf(m: MethodModel): string {
  return `/${m.service}/${m.method}`;
}

function byService(methods: readonly MethodModel[]): Map<string, MethodModel[]> {
  const groups = new Map<string, MethodModel[]>();
  for (const m of methods) {
    const name = m.shortService === 'KV' ? 'kv' : jsonName(m.shortService);
    const group = groups.get(name) ?? [];
    group.push(m);
    groups.set(name, group);
  }
  return groups;
}
