import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { decodeObject, type ExpectedKind } from '../../../../src/cluster/api/codec/decode.js';
import { encodeProtobuf } from '../../../../src/cluster/api/codec/envelope.js';
import { normalize } from '../../../../src/cluster/api/codec/normalize.js';
import { decodeMessage } from '../../../../src/cluster/api/codec/protobuf-decode.js';
import { encodeMessage } from '../../../../src/cluster/api/codec/protobuf-encode.js';
import {
  splitApiVersion,
  type JsonValue,
  type KubeObject,
} from '../../../../src/cluster/api/object.js';
import type { Field } from '../../../../src/cluster/api/schema/message.js';
import { messageOfKind, messageNames, schemaOf } from '../../../../src/cluster/api/schema/table.js';

const PROTOBUF = 'application/vnd.kubernetes.protobuf';
const CONFIG_MAP: ExpectedKind = {
  group: '',
  version: 'v1',
  kind: 'ConfigMap',
  message: 'core.v1.ConfigMap',
};

interface Case {
  readonly path?: string;
  readonly note?: string;
  readonly json?: KubeObject;
  readonly protobuf?: { readonly status: number; readonly base64: string };
  readonly text?: string;
}

const CASES = (
  JSON.parse(
    readFileSync(new URL('../../../golden/protobuf/cases.json', import.meta.url), 'utf8'),
  ) as { cases: Case[] }
).cases;

function kindOf({ apiVersion, kind }: Partial<KubeObject>): ExpectedKind {
  const { group, version } = splitApiVersion(apiVersion ?? '');
  return {
    group,
    version,
    kind: kind ?? '',
    message: messageOfKind(group, version, kind ?? '') ?? '',
  };
}

function failure(bytes: Uint8Array): string {
  try {
    decodeObject(bytes, PROTOBUF, CONFIG_MAP);
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
}

/** An envelope of a ConfigMap around any bytes. */
function envelope(raw: Uint8Array): Uint8Array {
  const head = Buffer.from('k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap', 'latin1');
  return Buffer.concat([head, Uint8Array.of(0x12, raw.length), raw]);
}

describe('codec/protobuf: recorded answers', () => {
  // Kinds only: discovery is not of the table's groups, and the PEM of others is a placeholder.
  const pairs = CASES.flatMap(({ json, protobuf }) => {
    if (json === undefined || protobuf === undefined || protobuf.status === 406) return [];
    const isWhole = !/<[A-Z]/.test(JSON.stringify(json));
    return kindOf(json).message === '' || !isWhole ? [] : [{ json, bytes: protobuf.base64 }];
  });

  it('has the same object in both forms', () => {
    expect(pairs.length).to.be.greaterThan(9);
    for (const { json, bytes } of pairs) {
      const { object } = decodeObject(Buffer.from(bytes, 'base64'), PROTOBUF, kindOf(json));
      expect(withoutTimes(object), json.kind).to.equal(withoutTimes(json));
    }
  });

  it('writes the same bytes', () => {
    for (const { json, bytes } of pairs) {
      const { object } = decodeObject(Buffer.from(bytes, 'base64'), PROTOBUF, kindOf(json));
      const written = encodeProtobuf(kindOf(json).message, object);
      expect(Buffer.from(written).toString('base64'), json.kind).to.equal(bytes);
    }
  });
});

/** Both forms were recorded one after the other; lease and node have moved on between. */
function withoutTimes(object: KubeObject): string {
  return JSON.stringify(object).replace(
    /"(renewTime|time|resourceVersion|lastHeartbeatTime)":"[^"]*"/g,
    '',
  );
}

/** Any value that a field may have after `normalize`. */
function valueOf(field: Field, depth: number): fc.Arbitrary<JsonValue> {
  const one = elementOf(field, depth);
  const name = fc.string({ maxLength: 4 });
  switch (field.shape) {
    case 'single':
      return one;
    case 'list':
      return fc.array(one, { maxLength: 2 });
    case 'map':
      return fc.dictionary(name, one, { maxKeys: 2 });
    case 'mapOfLists':
      return fc.dictionary(name, fc.array(one, { minLength: 1, maxLength: 2 }), { maxKeys: 2 });
  }
}

function elementOf(field: Field, depth: number): fc.Arbitrary<JsonValue> {
  if (field.message !== '') return messageValue(field.message, depth - 1);
  switch (field.scalar) {
    case 'bool':
      return fc.boolean();
    case 'int32':
      return fc.integer();
    case 'int64':
      return fc.maxSafeInteger();
    case 'double':
      return fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => (n === 0 ? 0 : n));
    case 'bytes':
      return fc.uint8Array({ minLength: 1 }).map((bytes) => Buffer.from(bytes).toString('base64'));
    case 'time':
      return fc.constantFrom('2026-01-01T00:00:00Z', '1969-12-31T23:59:59Z');
    case 'microtime':
      return fc.constantFrom('2026-01-01T00:00:00.000000Z', '1960-01-01T00:00:00.123456Z');
    case 'duration':
      return fc.constantFrom('0s', '30s', '1h0m0.5s');
    case 'quantity':
      return fc.constantFrom('0', '100m', '1Gi', '-3', '1e3');
    case 'intOrString':
      return fc.oneof(fc.integer(), fc.constantFrom('', '25%', 'http'));
    case 'raw':
    case 'fieldsV1':
    case 'json':
      return fc.dictionary(fc.constantFrom('a', 'f:b'), fc.oneof(fc.integer(), fc.boolean()));
    case 'schemaOrBool':
      return fc.oneof(fc.boolean(), messageValue('apiextensions.v1.JSONSchemaProps', depth - 1));
    case 'schemaOrArray':
    case 'schemaOrStringArray':
      return messageValue('apiextensions.v1.JSONSchemaProps', depth - 1);
    default:
      return fc.string();
  }
}

function messageValue(message: string, depth: number): fc.Arbitrary<JsonValue> {
  if (depth <= 0) return fc.constant({});
  const fields = [...schemaOf(message).byName].filter(([, field]) => isOnWire(message, field));
  const entries = fields.map(([name, field]) => [name, valueOf(field, depth)] as const);
  return fc.record(Object.fromEntries(entries), { requiredKeys: [] });
}

function isOnWire(message: string, field: Field): boolean {
  const { fields } = schemaOf(message);
  const isOwn = fields.includes(field);
  return isOwn
    ? field.number !== 0
    : fields.some(({ isInline, number }) => isInline && number !== 0);
}

describe('codec/protobuf: encoding and decoding', () => {
  for (const message of [
    'core.v1.PodSpec',
    'core.v1.Node',
    'apps.v1.Deployment',
    'core.v1.Event',
  ]) {
    it(`brings any ${message} back`, () => {
      const schema = schemaOf(message);
      fc.assert(
        fc.property(messageValue(message, 3), (value) => {
          const { object } = normalize(schema, value);
          const decoded = decodeMessage(schema, encodeMessage(schema, object));
          expect(lists(decoded)).to.equal(lists(object));
        }),
        { numRuns: 60 },
      );
    });
  }

  it('reads numbers that are packed', () => {
    const packed = Uint8Array.of(0x22, 3, 1, 0xac, 2, 0x20, 7);
    const object = decodeMessage(schemaOf('core.v1.PodSecurityContext'), packed);
    expect(object).to.eql({ supplementalGroups: [1, 300, 7] });
  });

  it('writes the entries of a map in order', () => {
    const bytes = encodeMessage(schemaOf('core.v1.ConfigMap'), { data: { b: '2', a: '1' } });
    expect(Buffer.from(bytes).toString('latin1')).to.match(/a.*1.*b.*2/s);
  });

  it('brings the empty value of every message back', () => {
    for (const message of messageNames()) {
      const schema = schemaOf(message);
      if (!schema.fields.every((field) => field.number !== 0 || field.isInline)) continue;
      const { object } = normalize(schema, {});
      const decoded = decodeMessage(schema, encodeMessage(schema, object));
      expect(JSON.stringify(decoded), message).to.equal(JSON.stringify(object));
    }
  });
});

/** Protobuf knows no difference between an empty list and none. */
function lists(value: JsonValue): string {
  const text = JSON.stringify(value).replace(/,?"managedFields":\[\]/g, '');
  return text.replaceAll(':[]', ':null').replaceAll(':null', ':0');
}

describe('codec/protobuf: malformed bodies', () => {
  it('refuses what has no envelope', () => {
    const what = 'the object provided is unrecognized (must be of type ConfigMap)';
    expect(failure(Buffer.from(''))).to.equal(`${what}: empty data (<empty>)`);
    expect(failure(Buffer.from('k8s\0'))).to.equal(`${what}: empty body (6b387300)`);
    expect(failure(Buffer.from('k8s'))).to.equal(
      `${what}: provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (6b3873)`,
    );
    expect(failure(Buffer.from('k8s\0\x0a\x7f'))).to.match(/: proto: message is truncated \(/);
  });

  it('refuses a message of which the wire is wrong', () => {
    const what = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: proto:';
    expect(failure(envelope(Uint8Array.of(0x0a, 5)))).to.equal(`${what} message is truncated`);
    expect(failure(envelope(Uint8Array.of(0x08, 1)))).to.equal(
      `${what} wrong wireType = 0 for field Metadata`,
    );
    expect(failure(envelope(Uint8Array.of(0x0a, 2, 0x0a, 9)))).to.equal(
      `${what} message is truncated`,
    );
  });

  it('passes over unknown fields and ends with DecodeError only, on any bytes', () => {
    expect(failure(envelope(Uint8Array.of(0xf8, 0x3f, 1, 0xf2, 0x3f, 1, 0)))).to.equal('accepted');
    const message = new RegExp('^accepted$|: proto: |is unrecognized');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(failure(envelope(bytes))).to.match(message);
        expect(failure(Buffer.concat([Buffer.from('k8s\0'), bytes]))).to.match(
          /is unrecognized|cannot be handled|accepted/,
        );
      }),
    );
  });
});
