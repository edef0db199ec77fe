/**
 * One message of the Kubernetes API as data, and the parser of its text (proto/kubernetes/*.txt).
 *
 *   message ContainerPort
 *     containerPort 3 int32 always required
 *     protocol 4 string default="TCP" enum=SCTP|TCP|UDP
 *
 * A line is a field: JSON name, protobuf number, type, marks. `-` stands for no name (an embedded
 * message, flat in JSON) or no number (JSON only). `[]T` is a list, `map:T` a map with string keys.
 */
import { invariant } from '../../../base/invariant.js';

/** Types that are no messages. A message name contains a dot; a scalar's name does not. */
const SCALARS = [
  'string',
  'bool',
  'int32',
  'int64',
  'double',
  /** Base64 in JSON. */
  'bytes',
  /** RFC 3339 in seconds. */
  'time',
  /** RFC 3339 with six decimals. */
  'microtime',
  'duration',
  'quantity',
  'intOrString',
  /** An embedded object of any kind; JSON bytes on the wire. */
  'raw',
  'fieldsV1',
  /** Any JSON value. */
  'json',
  'any',
  'schemaOrBool',
  'schemaOrArray',
  'schemaOrStringArray',
] as const;

export type ScalarType = (typeof SCALARS)[number];

const SCALAR_NAMES: ReadonlySet<string> = new Set(SCALARS);

export type Shape = 'single' | 'list' | 'map' | 'mapOfLists';
export type PatchStrategy = 'merge' | 'replace' | 'retainKeys';
export type ListType = 'map' | 'set' | 'atomic';

export interface Field {
  /** JSON name; empty for an embedded message, whose fields are flat in JSON. */
  readonly name: string;
  /** Protobuf number; 0 for a field that exists in JSON only. */
  readonly number: number;
  readonly shape: Shape;
  /** Of one element. Empty when the element is a message. */
  readonly scalar: ScalarType | '';
  /** Full name of the element's message, as `core.v1.Container`. Empty for a scalar. */
  readonly message: string;
  /** A zero value that was given is kept; of others it means "not given". */
  readonly isPointer: boolean;
  /** Serialised also when empty. */
  readonly isAlways: boolean;
  /** Not serialised when zero, although its Go type is a struct. */
  readonly isOmitZero: boolean;
  readonly isRequired: boolean;
  /** An embedded message: nested in protobuf, flat in JSON. */
  readonly isInline: boolean;
  /** Of strategic merge patches; empty means replace. */
  readonly patch: readonly PatchStrategy[];
  readonly mergeKey: string;
  /** Type of a list for server-side apply (x-kubernetes-list-type); undefined means atomic. */
  readonly list: ListType | undefined;
  readonly keys: readonly string[];
  /** Type of a map or struct for server-side apply, if it differs from the element's own. */
  readonly ownership: 'atomic' | 'granular' | 'separable' | undefined;
  /** Default that OpenAPI names, as a JSON value. */
  readonly default: string | number | boolean | undefined;
  readonly enum: readonly string[];
  /** Go's name of the whole type, which errors tell, where it does not follow from the others. */
  readonly goType: string;
}

export interface Message {
  /** As `core.v1.Pod`. */
  readonly name: string;
  /** `Pod`, if it is a kind of the API; empty otherwise. */
  readonly kind: string;
  readonly fields: readonly Field[];
  /** Server-side apply owns it as a whole. */
  readonly isAtomic: boolean;
}

/** Parses the text of one message: its head line and one line a field. Throws: on a line that is not of this form. */
export function parseMessage(packageName: string, text: string): Message {
  const [head = '', ...lines] = text.split('\n');
  const [keyword, shortName = '', ...marks] = head.split(' ');
  invariant(
    keyword === 'message' && shortName !== '',
    'the text of a message begins with its name',
  );
  return {
    name: `${packageName}.${shortName}`,
    kind: marks.includes('kind') ? shortName : '',
    fields: lines.filter((line) => line !== '').map((line) => parseField(line.trim())),
    isAtomic: marks.includes('struct=atomic'),
  };
}

function parseField(line: string): Field {
  const [name = '', number = '', type = '', ...marks] = line.split(' ');
  invariant(type !== '', 'a field has name, number and type');
  const values = new Map<string, string>();
  for (const mark of marks) {
    const at = mark.indexOf('=');
    values.set(at === -1 ? mark : mark.slice(0, at), at === -1 ? '' : mark.slice(at + 1));
  }
  const { shape, element } = parseType(type);
  const isScalar = SCALAR_NAMES.has(element);
  invariant(isScalar || element.includes('.'), 'a type is a scalar or the full name of a message');
  const given = values.get('default');
  return {
    name: name === '-' ? '' : name,
    number: number === '-' ? 0 : Number(number),
    shape,
    scalar: isScalar ? (element as ScalarType) : '',
    message: isScalar ? '' : element,
    isPointer: values.has('pointer'),
    isAlways: values.has('always'),
    isOmitZero: values.has('omitZero'),
    isRequired: values.has('required'),
    isInline: values.has('inline'),
    patch: split(values.get('patch'), ',') as PatchStrategy[],
    mergeKey: values.get('mergeKey') ?? '',
    list: values.get('list') as ListType | undefined,
    keys: split(values.get('keys'), ','),
    ownership: (values.get('map') ?? values.get('struct')) as Field['ownership'],
    default: given === undefined ? undefined : (JSON.parse(given) as string | number | boolean),
    enum: split(values.get('enum'), '|'),
    goType: values.get('go') ?? '',
  };
}

function parseType(type: string): { readonly shape: Shape; readonly element: string } {
  if (type.startsWith('map:[]')) return { shape: 'mapOfLists', element: type.slice(6) };
  if (type.startsWith('map:')) return { shape: 'map', element: type.slice(4) };
  if (type.startsWith('[]')) return { shape: 'list', element: type.slice(2) };
  return { shape: 'single', element: type };
}

function split(text: string | undefined, separator: string): string[] {
  return text === undefined ? [] : text.split(separator);
}
