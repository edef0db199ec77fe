import { expect } from 'chai';
import {
  decodeObject,
  type Decoded,
  type ExpectedKind,
} from '../../../../src/cluster/api/codec/decode.js';
import {
  bodyFieldProblems,
  type FieldValidation,
} from '../../../../src/cluster/api/codec/field-validation.js';
import { splitApiVersion, type JsonObject } from '../../../../src/cluster/api/object.js';
import { messageOfKind } from '../../../../src/cluster/api/schema/table.js';
import { filesIn, stepsOf, type Step } from '../recordings.js';
import { failureOf } from '../failure.js';

const CONFIG_MAP = expected('', 'v1', 'ConfigMap');

function expected(group: string, version: string, kind: string): ExpectedKind {
  return { group, version, kind, message: messageOfKind(group, version, kind) ?? '' };
}

const KIND_OF_RESOURCE: Readonly<Record<string, string>> = {
  configmaps: 'ConfigMap',
  deployments: 'Deployment',
  events: 'Event',
  leases: 'Lease',
  poddisruptionbudgets: 'PodDisruptionBudget',
  resourcequotas: 'ResourceQuota',
};

/** The kind that the path of a create takes. */
function kindOf({ request }: Step): ExpectedKind {
  const parts = request.path.split('/').slice(1);
  const [group = '', version = ''] = parts[0] === 'api' ? ['', parts[1]] : parts.slice(1);
  return expected(group, version, KIND_OF_RESOURCE[parts.at(-1) ?? ''] ?? '');
}

function decode({ request }: Step, kind: ExpectedKind): Decoded {
  const { body } = request;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return decodeObject(Buffer.from(text), request.headers?.['Content-Type'] ?? '', kind);
}

const isDecodeError = ({ response }: Step): boolean =>
  /cannot be handled as|is unrecognized|unknown format/.test(textField(response.body, 'message'));

function textField(body: JsonObject | undefined, name: string): string {
  const value = body?.[name];
  return typeof value === 'string' ? value : '';
}

describe('codec/decode: errors as the real API server words them', () => {
  for (const file of ['validation/malformed', 'extra/times-and-numbers', 'extra/quantities']) {
    it(`answers the malformed bodies of ${file} alike`, () => {
      const creates = stepsOf(file).filter(({ request }) => request.method === 'POST');
      const refused = creates.filter(isDecodeError);
      expect(refused.length).to.be.greaterThan(5);
      for (const step of refused) {
        const { status } = failureOf(() => decode(step, kindOf(step)));
        const { code, reason, message } = step.response.body ?? {};
        expect([status.code, status.reason, status.message]).to.eql([code, reason, message]);
      }
      for (const step of creates.filter((one) => !isDecodeError(one))) decode(step, kindOf(step));
    });
  }
});

describe('codec/decode: kinds', () => {
  const refusal = (body: string, kind: ExpectedKind): string =>
    failureOf(() => decodeObject(Buffer.from(body), 'application/json', kind)).message;

  it('fills in what the body leaves out, before the other fields', () => {
    const { object } = decodeObject(Buffer.from('{"apiVersion":"/"}'), '', CONFIG_MAP);
    expect(JSON.stringify(object)).to.equal('{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}');
  });

  it('takes options as a kind of any group', () => {
    const options = expected('', 'v1', 'DeleteOptions');
    for (const apiVersion of ['v1', 'apps/v1', 'meta.k8s.io/v1']) {
      const body = JSON.stringify({ kind: 'DeleteOptions', apiVersion, gracePeriodSeconds: 0 });
      const { object } = decodeObject(Buffer.from(body), '', options);
      expect(object).to.eql({ kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 0 });
    }
  });

  it('refuses another version of the kind, another kind, and what names none', () => {
    const scaler = '{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler"}';
    expect(refusal(scaler, expected('autoscaling', 'v2', 'HorizontalPodAutoscaler'))).to.equal(
      'the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)',
    );
    expect(refusal('{"apiVersion":"apps/v1","kind":"Deployment"}', CONFIG_MAP)).to.equal(
      'Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion',
    );
    expect(refusal('{"kind":5}', CONFIG_MAP)).to.equal(
      "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; " +
        'json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({"kind":5})',
    );
    expect(refusal('{"apiVersion":"a/b/c"}', CONFIG_MAP)).to.equal(
      'the object provided is unrecognized (must be of type ConfigMap): unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c"})',
    );
  });
});

describe('codec/decode: field validation', () => {
  it('answers and warns as the recording does', () => {
    const steps = stepsOf('defaults/fieldValidation');
    for (const step of steps) {
      const mode = step.request.query?.['fieldValidation'] ?? '';
      if (mode === 'Nope') continue;
      const kind = kindOf(step);
      const judge = (): readonly string[] =>
        bodyFieldProblems(
          decode(step, kind).unknownFields,
          (mode === '' ? 'Warn' : mode) as FieldValidation,
          kind,
        );
      if (step.response.status === 400) {
        expect(failureOf(judge).message).to.equal(textField(step.response.body, 'message'));
      } else {
        const header = judge().map((text) => `299 - ${JSON.stringify(text)}`);
        expect(header.join(', ')).to.equal(step.response.headers?.['warning'] ?? '');
      }
    }
  });

  it('tells unknown and repeated fields in the order of the body', () => {
    const body =
      '{"x":1,"data":{"a":"1","b":"2","a":"3"},"metadata":{"y":2,"name":"n"},"x":2,"kind":"","kind":""}';
    const { unknownFields } = decodeObject(Buffer.from(body), '', CONFIG_MAP);
    expect(unknownFields).to.eql([
      'unknown field "x"',
      'duplicate field "data.a"',
      'unknown field "metadata.y"',
      'duplicate field "kind"',
    ]);
  });

  it('tells at most 100 fields', () => {
    const names = Array.from({ length: 150 }, (_, index) => `"f${index}":0`);
    const { unknownFields } = decodeObject(Buffer.from(`{${names.join()}}`), '', CONFIG_MAP);
    expect(unknownFields).to.have.length(100);
  });
});

describe('codec/decode: objects that the real API server answered', () => {
  const folders = ['defaults', 'tables', 'list', 'patch', 'subresources', 'bootstrap'];
  for (const folder of folders) {
    it(`leaves every object of ${folder} as it is, to the order of fields`, () => {
      const objects = filesIn(folder)
        .flatMap((file) => stepsOf(file).flatMap(objectsOf))
        .filter(isWhole);
      expect(objects.length).to.be.greaterThan(2);
      for (const object of objects) {
        const kind = kindInBody(object);
        const decoded = decodeObject(Buffer.from(JSON.stringify(object)), '', kind);
        expect(JSON.stringify(decoded.object)).to.equal(JSON.stringify(object));
        expect(decoded.unknownFields).to.eql([]);
      }
    });
  }
});

/** The kind that an object names; without a message if the table has none. */
function kindInBody(object: JsonObject | undefined): ExpectedKind {
  const { group, version } = splitApiVersion(textField(object, 'apiVersion'));
  return expected(group, version, textField(object, 'kind'));
}

/** Certificates are replaced by placeholders that are no base64. */
function isWhole(object: JsonObject): boolean {
  return !JSON.stringify(object).includes('<PEM');
}

function objectsOf({ response: { body, status } }: Step): JsonObject[] {
  const { kind, message } = kindInBody(body);
  return body === undefined || kind === 'Status' || status >= 300 || message === '' ? [] : [body];
}
