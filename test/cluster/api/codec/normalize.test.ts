import { expect } from 'chai';
import { normalize, SchemaError } from '../../../../src/cluster/api/codec/normalize.js';
import type { JsonValue } from '../../../../src/cluster/api/object.js';
import { messageNames, schemaOf } from '../../../../src/cluster/api/schema/table.js';

function normalized(message: string, value: JsonValue): string {
  return JSON.stringify(normalize(schemaOf(message), value).object);
}

function messageOf(message: string, value: JsonValue): string {
  try {
    normalize(schemaOf(message), value);
  } catch (error) {
    if (error instanceof SchemaError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('codec/normalize: form', () => {
  it('orders fields by the schema and names of maps by their bytes', () => {
    const pod = {
      spec: { nodeSelector: { b: '1', a: '2' }, containers: [{ image: 'i', name: 'c' }] },
      metadata: { labels: { z: '', k: '' }, name: 'p' },
    };
    expect(normalized('core.v1.Pod', pod)).to.equal(
      '{"metadata":{"name":"p","labels":{"k":"","z":""}},"spec":{"containers":' +
        '[{"name":"c","image":"i","resources":{}}],"nodeSelector":{"a":"2","b":"1"}},"status":{}}',
    );
  });

  it('writes what Go writes of nothing', () => {
    expect(normalized('apps.v1.Deployment', {})).to.equal(
      '{"metadata":{},"spec":{"selector":null,"template":{"metadata":{},"spec":{"containers":null}},' +
        '"strategy":{}},"status":{}}',
    );
    expect(normalized('core.v1.Event', null)).to.equal(
      '{"metadata":{},"involvedObject":{},"source":{},"firstTimestamp":null,"lastTimestamp":null,' +
        '"eventTime":null,"reportingComponent":"","reportingInstance":""}',
    );
    expect(normalized('core.v1.ServicePort', {})).to.equal('{"port":0,"targetPort":0}');
  });

  it('keeps zero values of pointers and drops those of others', () => {
    const spec = { replicas: 0, minReadySeconds: 0, paused: false, revisionHistoryLimit: 0 };
    const text = normalized('apps.v1.DeploymentSpec', { ...spec, selector: {} });
    expect(JSON.parse(text)).to.include({ replicas: 0, revisionHistoryLimit: 0 });
    expect(JSON.parse(text)).to.not.have.any.keys('minReadySeconds', 'paused');
    expect(normalized('core.v1.ConfigMap', { data: {}, immutable: false })).to.equal(
      '{"metadata":{},"immutable":false}',
    );
    expect(normalized('core.v1.PodList', { items: [] })).to.equal('{"metadata":{},"items":[]}');
  });

  it('turns null into the zero value of an element, and into absence of a field', () => {
    const container = { name: 'c', args: ['a', null], env: [null], image: null, ports: null };
    expect(normalized('core.v1.Container', container)).to.equal(
      '{"name":"c","args":["a",""],"env":[{"name":""}],"resources":{}}',
    );
    expect(normalized('core.v1.Secret', { data: { a: null } })).to.equal(
      '{"metadata":{},"data":{"a":null}}',
    );
    const limits = { limits: { cpu: null } };
    expect(normalized('core.v1.ResourceRequirements', limits)).to.equal('{"limits":{"cpu":"0"}}');
  });

  it('brings quantities, times and bytes into canonical form', () => {
    const status = { capacity: { cpu: 1.5, memory: '1024Ki' } };
    expect(normalized('core.v1.NodeStatus', status)).to.match(
      /^\{"capacity":\{"cpu":"1500m","memory":"1Mi"\}/,
    );
    const lease = { renewTime: '2026-01-01T01:00:00.000001+01:00', holderIdentity: '' };
    expect(normalized('coordination.v1.LeaseSpec', lease)).to.equal(
      '{"holderIdentity":"","renewTime":"2026-01-01T00:00:00.000001Z"}',
    );
    expect(normalized('core.v1.Secret', { data: { a: 'YQ\n==\r\n' } })).to.equal(
      '{"metadata":{},"data":{"a":"YQ=="}}',
    );
  });

  it('keeps names that JavaScript treats specially', () => {
    const data = JSON.parse('{"__proto__":"a","constructor":"b"}') as JsonValue;
    expect(normalized('core.v1.ConfigMap', { data })).to.equal(
      '{"metadata":{},"data":{"__proto__":"a","constructor":"b"}}',
    );
  });

  it('leaves its own result as it is, for the empty value of every message', () => {
    for (const name of messageNames()) {
      const { object, unknownFields } = normalize(schemaOf(name), {});
      const again = normalize(schemaOf(name), object);
      expect(JSON.stringify(again.object), name).to.equal(JSON.stringify(object));
      expect([...unknownFields, ...again.unknownFields], name).to.eql([]);
    }
  });

  it('takes JSON schemas and what may stand in their place', () => {
    const props = {
      type: 'object',
      additionalProperties: false,
      items: [{ type: 'string', nullable: false }],
      dependencies: { a: ['b'], c: { minimum: 0 } },
      properties: { x: { additionalProperties: { type: 'string' } } },
    };
    const text = normalized('apiextensions.v1.JSONSchemaProps', props);
    expect(JSON.parse(text)).to.eql({ ...props, items: [{ type: 'string' }] });
    expect(messageOf('apiextensions.v1.JSONSchemaProps', { additionalProperties: 5 })).to.equal(
      'boolean or JSON schema expected',
    );
  });
});

describe('codec/normalize: errors', () => {
  it('names struct, path and type as Go does', () => {
    const template = (spec: JsonValue): JsonValue => ({ spec: { template: { spec } } });
    const errors: readonly (readonly [string, JsonValue, string])[] = [
      [
        'core.v1.Pod',
        { spec: { containers: [{ args: ['a', 5] }] } },
        'number into Go struct field Container.spec.containers.args of type string',
      ],
      [
        'core.v1.Pod',
        { spec: { containers: [{ resources: { limits: 5 } }] } },
        'number into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList',
      ],
      [
        'core.v1.Pod',
        { spec: { volumes: [{ emptyDir: 'x' }] } },
        'string into Go struct field Volume.spec.volumes.VolumeSource.emptyDir of type v1.EmptyDirVolumeSource',
      ],
      [
        'apps.v1.Deployment',
        template({ restartPolicy: true }),
        'bool into Go struct field PodSpec.spec.template.spec.restartPolicy of type v1.RestartPolicy',
      ],
      [
        'core.v1.Secret',
        { data: { a: 5 } },
        'number into Go struct field Secret.data of type []uint8',
      ],
      [
        'authorization.v1.SubjectAccessReview',
        { spec: { extra: { a: [{}] } } },
        'object into Go struct field SubjectAccessReviewSpec.spec.extra of type string',
      ],
      [
        'authorization.v1.SubjectAccessReview',
        { spec: { extra: { a: 1 } } },
        'number into Go struct field SubjectAccessReviewSpec.spec.extra of type v1.ExtraValue',
      ],
      ['core.v1.Pod', [], 'array into Go value of type v1.Pod'],
      [
        'core.v1.Service',
        { spec: { ports: [{ port: 2 ** 31 }] } },
        'number 2147483648 into Go struct field ServicePort.spec.ports.port of type int32',
      ],
    ];
    for (const [message, value, text] of errors)
      expect(messageOf(message, value)).to.equal(`json: cannot unmarshal ${text}`);
  });

  it('tells the first value that does not fit, but before it one that ends decoding', () => {
    const labels = { metadata: { labels: { a: 1 }, name: 5 } };
    expect(messageOf('core.v1.Pod', labels)).to.match(
      /ObjectMeta\.metadata\.labels of type string$/,
    );
    const late = { ...labels, spec: { overhead: { cpu: 'x' } } };
    expect(messageOf('core.v1.Pod', late)).to.match(
      /^quantities must match the regular expression/,
    );
  });

  it('finds the byte at which base64 ends to be valid', () => {
    const at = (text: string): string => messageOf('core.v1.Secret', { data: { a: text } });
    const wrong: Readonly<Record<string, number>> = {
      '!!': 0,
      'YQ=': 3,
      YQ: 0,
      'YQ=a': 2,
      'YQ==x': 4,
      'YWI=x': 4,
      '=': 0,
      YWJjY: 4,
    };
    for (const [text, byte] of Object.entries(wrong))
      expect(at(text), text).to.equal(`illegal base64 data at input byte ${byte}`);
    for (const text of ['', 'YQ==', 'YWI=', 'YWJj', 'YW\nJj\n'])
      expect(at(text)).to.equal('accepted');
  });
});
