/** Reads proto/ and reduces it to what the emitters need: files, messages, fields, enums, methods. */
import { basename, join } from 'node:path';
import protobuf from 'protobufjs';

export type Kind =
  | 'bytes'
  | 'string'
  | 'bool'
  | 'int32'
  | 'uint32'
  | 'int'
  | 'uint'
  | 'bigInt'
  | 'bigUint'
  | 'enum'
  | 'message';

export interface FieldModel {
  /** As in the .proto file, which is also its name in JSON. */
  readonly protoName: string;
  /** lowerCamel: the property's name, also accepted in JSON. */
  readonly name: string;
  readonly id: number;
  readonly kind: Kind;
  readonly repeated: boolean;
  readonly oneof: string | null;
  /** Of a message or enum field. */
  readonly typeName: string;
  readonly typeFile: string;
  readonly comment: string | null;
}

export interface MessageModel {
  readonly name: string;
  readonly fullName: string;
  readonly fields: readonly FieldModel[];
  readonly comment: string | null;
}

export interface EnumModel {
  readonly name: string;
  readonly values: readonly { readonly name: string; readonly id: number }[];
  readonly comment: string | null;
}

export interface FileModel {
  /** Base name of the .proto file, and of the generated one. */
  readonly name: string;
  readonly messages: readonly MessageModel[];
  readonly enums: readonly EnumModel[];
}

export interface MethodModel {
  readonly service: string;
  readonly shortService: string;
  readonly method: string;
  readonly type: 'unary' | 'server_stream' | 'client_stream' | 'bidi_stream';
  readonly request: string;
  readonly requestFile: string;
  readonly response: string;
  readonly responseFile: string;
}

export interface Model {
  readonly files: readonly FileModel[];
  readonly methods: readonly MethodModel[];
}

interface MutableFile {
  readonly name: string;
  readonly messages: MessageModel[];
  readonly enums: EnumModel[];
}

/** Parses the named files of `dir` with everything resolved. */
export function loadRoot(dir: string, files: readonly string[]): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(dir, basename(target));
  root.loadSync([...files], { keepCase: true, alternateCommentMode: true });
  root.resolveAll();
  return root;
}

export function readModel(root: protobuf.Root): Model {
  const files = new Map<string, MutableFile>();
  const methods: MethodModel[] = [];
  visit(root, files, methods);
  return { files: [...files.values()].sort((a, b) => (a.name < b.name ? -1 : 1)), methods };
}

function visit(
  ns: protobuf.NamespaceBase,
  files: Map<string, MutableFile>,
  methods: MethodModel[],
): void {
  for (const object of ns.nestedArray) {
    if (object instanceof protobuf.Type) {
      fileOf(files, object).messages.push(readMessage(object));
      visit(object, files, methods);
    } else if (object instanceof protobuf.Enum) {
      fileOf(files, object).enums.push(readEnum(object));
    } else if (object instanceof protobuf.Service) {
      for (const method of object.methodsArray) methods.push(readMethod(object, method));
    } else if (object instanceof protobuf.Namespace) {
      visit(object, files, methods);
    }
  }
}

function fileOf(files: Map<string, MutableFile>, object: protobuf.ReflectionObject): MutableFile {
  const name = fileName(object);
  let file = files.get(name);
  if (file === undefined) {
    file = { name, messages: [], enums: [] };
    files.set(name, file);
  }
  return file;
}

function fileName(object: protobuf.ReflectionObject): string {
  for (let at: protobuf.ReflectionObject | null = object; at !== null; at = at.parent) {
    if (at.filename !== null) return basename(at.filename, '.proto');
  }
  throw new Error(`${object.fullName}: not from a file`);
}

function readMessage(type: protobuf.Type): MessageModel {
  if (type.parent instanceof protobuf.Type) {
    throw new Error(`${type.fullName}: nested messages are not supported`);
  }
  const fields = type.fieldsArray.map(readField).sort((a, b) => a.id - b.id);
  return { name: type.name, fullName: type.fullName.slice(1), fields, comment: type.comment };
}

function readField(field: protobuf.Field): FieldModel {
  const target = field.resolvedType;
  if (field.map) throw new Error(`${field.fullName}: maps are not supported`);
  const typeName =
    target === null ? '' : target instanceof protobuf.Enum ? enumName(target) : target.name;
  return {
    protoName: field.name,
    name: field.name.replace(/_(.)/g, (_, c: string) => c.toUpperCase()),
    id: field.id,
    kind: kindOf(field),
    repeated: field.repeated,
    oneof: field.partOf === null ? null : field.partOf.name,
    typeName,
    typeFile: target === null ? '' : fileName(target),
    comment: field.comment,
  };
}

function kindOf(field: protobuf.Field): Kind {
  if (field.resolvedType !== null) {
    return field.resolvedType instanceof protobuf.Enum ? 'enum' : 'message';
  }
  const opaque = field.getOption('jstype') === 'JS_STRING';
  switch (field.type) {
    case 'bytes':
    case 'string':
    case 'bool':
    case 'int32':
    case 'uint32':
      return field.type;
    case 'int64':
      return opaque ? 'bigInt' : 'int';
    case 'uint64':
      return opaque ? 'bigUint' : 'uint';
    default:
      throw new Error(`${field.fullName}: type ${field.type} is not supported`);
  }
}

function readEnum(type: protobuf.Enum): EnumModel {
  const values = Object.entries(type.values).map(([name, id]) => ({ name, id }));
  return { name: enumName(type), values, comment: type.comment };
}

/** A nested enum's own name is clear by itself, except a bare `Type`. */
function enumName(type: protobuf.Enum): string {
  return type.name === 'Type' && type.parent !== null ? `${type.parent.name}Type` : type.name;
}

function readMethod(service: protobuf.Service, method: protobuf.Method): MethodModel {
  const request = method.resolvedRequestType;
  const response = method.resolvedResponseType;
  if (request === null || response === null) throw new Error(`${method.fullName}: unresolved`);
  return {
    service: service.fullName.slice(1),
    shortService: service.name,
    method: method.name,
    type: method.requestStream
      ? method.responseStream
        ? 'bidi_stream'
        : 'client_stream'
      : method.responseStream
        ? 'server_stream'
        : 'unary',
    request: request.name,
    requestFile: fileName(request),
    response: response.name,
    responseFile: fileName(response),
  };
}

export function jsonName(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

/** True if absence differs from the zero value. */
export function hasPresence(f: FieldModel): boolean {
  return !f.repeated && (f.oneof !== null || f.kind === 'message');
}
