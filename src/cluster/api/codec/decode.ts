/**
 * Decodes the body of a request into one plain object, whatever its media type, and says what is
 * wrong with it in the words of the API server.
 */
import { apiVersionOf, splitApiVersion, type KubeObject } from '../object.js';
import { messageOfKind, schemaOf } from '../schema/table.js';
import { badRequest, quote, unsupportedMediaType, type ApiError } from '../status.js';
import { BodyError, readJsonBody, type Body } from './body.js';
import { goName } from './go-types.js';
import { SchemaError, type Normalized } from './normalize.js';
import { readProtobufBody } from './envelope.js';
import { readYamlBody } from './yaml-reader.js';

/** Readers of bodies by media type; an error lists the types in this order. */
const READERS: ReadonlyMap<string, (bytes: Uint8Array) => Body> = new Map([
  ['application/json', readJsonBody],
  ['application/yaml', readYamlBody],
  ['application/vnd.kubernetes.protobuf', readProtobufBody],
]);

/** The kind that the path of the request takes. */
export interface ExpectedKind {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Full name of its message in the schema table. */
  readonly message: string;
  /** Options of a request, not its object: errors do not say for which kind the body was taken. */
  readonly isOptions?: boolean;
}

export interface Decoded<T extends KubeObject = KubeObject> {
  /** In the form of `normalize`, with the apiVersion and kind that were expected. */
  readonly object: T;
  /** As `unknown field "spec.foo"` or `duplicate field "data.a"`, in the order of the body. */
  readonly unknownFields: readonly string[];
}

/** Group, version and kind that a body names, the absent parts taken from what was expected. */
interface GivenKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/**
 * `mediaType` may have parameters; an empty one means JSON.
 *
 * Throws: ApiError 415 on another media type, 400 on a body that is not an object of the expected
 * kind. Unknown fields are for the caller to judge, by `fieldProblems`.
 */
export function decodeObject<T extends KubeObject = KubeObject>(
  bytes: Uint8Array,
  mediaType: string,
  expected: ExpectedKind,
): Decoded<T> {
  const read = readerOf(mediaType);
  const { body, given } = open(read, bytes, expected);
  const { object, unknownFields } = convert(body, given, expected);
  const type = {
    kind: expected.kind,
    apiVersion: apiVersionOf(expected.group, expected.version),
  };
  // Twice: first for the order, then because the body may have left them out.
  return { object: Object.assign({ ...type }, object, type) as unknown as T, unknownFields };
}

function readerOf(mediaType: string): (bytes: Uint8Array) => Body {
  const [bare = ''] = mediaType.split(';');
  const type = bare.trim().toLowerCase();
  const reader = type === '' ? readJsonBody : READERS.get(type);
  if (reader === undefined) throw unsupportedMediaType([...READERS.keys()]);
  return reader;
}

function open(
  read: (bytes: Uint8Array) => Body,
  bytes: Uint8Array,
  expected: ExpectedKind,
): { readonly body: Body; readonly given: GivenKind } {
  try {
    const body = read(bytes);
    return { body, given: kindOf(body, expected) };
  } catch (error) {
    if (!(error instanceof BodyError)) throw error;
    if (expected.isOptions === true) throw badRequest(error.message);
    const what = `the object provided is unrecognized (must be of type ${expected.kind})`;
    throw badRequest(`${what}: ${error.message} (${summary(bytes)})`);
  }
}

function kindOf({ apiVersion, kind }: Body, expected: ExpectedKind): GivenKind {
  if (apiVersion.split('/').length > 2)
    throw new BodyError(`unexpected GroupVersion string: ${apiVersion}`);
  const isAbsent = apiVersion === '' || apiVersion === '/';
  const { group, version } = isAbsent ? expected : splitApiVersion(apiVersion);
  return { group, version, kind: kind === '' ? expected.kind : kind };
}

function convert(body: Body, given: GivenKind, expected: ExpectedKind): Normalized {
  const message = messageOfKind(given.group, given.version, given.kind);
  const apiVersion = apiVersionOf(given.group, given.version);
  if (message === undefined) {
    const what = `no kind ${quote(given.kind)} is registered for version ${quote(apiVersion)}`;
    const why = `${what} in scheme "pkg/runtime/scheme.go:111"`;
    throw expected.isOptions === true ? badRequest(why) : cannotHandle(given, expected, why);
  }
  let normalized: Normalized;
  try {
    normalized = body.convert(schemaOf(message));
  } catch (error) {
    if (error instanceof SchemaError) throw cannotHandle(given, expected, error.message);
    throw error;
  }
  if (message !== expected.message) throw otherKind(message, given, expected);
  return normalized;
}

/** A kind that exists, but is not the one of the path. */
function otherKind(message: string, given: GivenKind, expected: ExpectedKind): ApiError {
  if (given.kind === expected.kind) {
    const inData = apiVersionOf(given.group, given.version);
    const wanted = apiVersionOf(expected.group, expected.version);
    return badRequest(
      `the API version in the data (${inData}) does not match the expected API version (${wanted})`,
    );
  }
  const [packageName = ''] = expected.message.split('.');
  const target = `${packageName}.${expected.kind}`;
  const why = `converting (${goName(message)}) to (${target}): unknown conversion`;
  return cannotHandle(given, expected, why);
}

/** The error of a body whose kind is known and whose content is not accepted. */
export function cannotHandle(
  given: { readonly version: string; readonly kind: string },
  expected: { readonly kind: string },
  why: string,
): ApiError {
  const { kind, version } = given;
  return badRequest(
    `${kind} in version ${quote(version)} cannot be handled as a ${expected.kind}: ${why}`,
  );
}

const SUMMARY_BYTES = 30;

/** The beginning of a body: as text if it looks like JSON, else in hexadecimal. */
function summary(bytes: Uint8Array): string {
  if (bytes.length === 0) return '<empty>';
  const head = Buffer.from(bytes.subarray(0, SUMMARY_BYTES));
  const text = head.toString(head[0] === 0x7b ? 'utf8' : 'hex');
  return bytes.length > SUMMARY_BYTES ? `${text} ...` : text;
}
