/** Updates, warnings and subresources of the kinds, where no recording shows them. */
import 'reflect-metadata';
import { generateKeyPairSync, KeyObject, webcrypto } from 'node:crypto';
import { X509CertificateGenerator } from '@peculiar/x509';
import { expect } from 'chai';
import { namespaceFinalize } from '../../../../src/cluster/api/kinds/core/namespace-finalize.js';
import { namespace } from '../../../../src/cluster/api/kinds/core/namespace.js';
import { secret } from '../../../../src/cluster/api/kinds/core/secret.js';
import { serviceAccount } from '../../../../src/cluster/api/kinds/core/serviceaccount.js';
import type { JsonObject, KubeObject } from '../../../../src/cluster/api/object.js';
import type { Namespace } from '../../../../src/gen/kube-core-v1.js';
import { create, update } from './recorded-writes.js';
import { kindNamed, refused, texts } from './service-kinds.js';

describe('updates of nodes', () => {
  const old = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n', resourceVersion: '1' },
    spec: { podCIDR: '10.0.0.0/24', podCIDRs: ['10.0.0.0/24'], providerID: 'a' },
    status: { addresses: [{ type: 'InternalIP', address: '10.1.0.1' }] },
  };

  it('keep pod CIDRs and provider once they are set', () => {
    const node = kindNamed('Node');
    const next = { ...old, spec: { podCIDR: '10.0.1.0/24', providerID: 'b' } };
    const outcome = update(node, next, old);
    expect(outcome.status === 'invalid' ? outcome.body['message'] : '').to.equal(
      'Node "n" is invalid: [spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid, spec.providerID: Forbidden: node updates may not change providerID except from "" to valid]',
    );
  });

  it('leave the status to its own subresource, and the spec to them', () => {
    const { strategy, status } = kindNamed('Node');
    const next = structuredClone(old) as unknown as KubeObject & { status: object; spec: object };
    next.status = {};
    strategy.prepareUpdate(next, old);
    expect(next.status).to.equal(old.status);
    next.spec = {};
    status?.prepareUpdate(next, old);
    expect(next.spec).to.equal(old.spec);
  });

  it('name no address twice', () => {
    const { status } = kindNamed('Node');
    const next = structuredClone(old);
    next.status.addresses.push({ type: 'InternalIP', address: '10.1.0.1' });
    const found = status?.validateUpdate(next, old);
    expect(texts(found ?? [])).to.deep.equal([
      'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"10.1.0.1"}',
    ]);
  });
});

describe('namespaces', () => {
  const old: Namespace = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'a' },
    spec: { finalizers: ['kubernetes'] },
    status: { phase: 'Active' },
  };

  it('are held back by their finalizers, and say that they end', () => {
    const ending = structuredClone(old);
    namespace.strategy.markDeleting?.(ending);
    expect(ending.status?.phase).to.equal('Terminating');
    expect(namespace.strategy.isHeldBack?.(ending)).to.equal(true);
    expect(namespace.strategy.isHeldBack?.({ ...ending, spec: {} })).to.equal(false);
  });

  it('end only when they are deleted', () => {
    const early = { ...old, status: { phase: 'Terminating' } };
    expect(texts(namespace.status?.validateUpdate(early, old) ?? [])).to.deep.equal([
      'status.Phase: Invalid value: "Terminating": may only be \'Active\' if `deletionTimestamp` is empty',
    ]);
    const metadata = { name: 'a', deletionTimestamp: '2026-01-01T00:00:00Z' };
    expect(texts(namespace.status?.validateUpdate({ ...old, metadata }, old) ?? [])).to.deep.equal([
      'status.Phase: Invalid value: "Active": may only be \'Terminating\' if `deletionTimestamp` is not empty',
    ]);
  });

  it('change their finalizers by /finalize alone', () => {
    const next = { ...structuredClone(old), spec: { finalizers: ['x.io/f', 'y'] }, status: {} };
    namespaceFinalize.prepareUpdate(next, old);
    expect(next.status).to.equal(old.status);
    expect(texts(namespaceFinalize.validateUpdate(next, old))).to.deep.equal([
      'spec.finalizers[1]: Invalid value: "y": name is neither a standard finalizer name nor is it fully qualified',
    ]);
  });
});

describe('objects that older servers took', () => {
  it('may stay as they are', () => {
    const stored = {
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'e', namespace: 'default', resourceVersion: '1' },
      subsets: [{ addresses: [{ ip: '127.0.0.1' }] }],
    };
    const old = stored as unknown as KubeObject;
    expect(update(kindNamed('Endpoints'), stored, old).status).to.equal('stored');
    const next = { ...stored, subsets: [{ addresses: [{ ip: '127.0.0.2' }] }] };
    expect(update(kindNamed('Endpoints'), next, old).status).to.equal('invalid');
  });
});

describe('generations of endpoint slices', () => {
  it('count changes of endpoints and labels, not of annotations', () => {
    const kind = kindNamed('EndpointSlice');
    const body = { addressType: 'IPv4', endpoints: [], ports: [], metadata: { name: 's' } };
    const first = create(kind, body, 'default', 's');
    if (first.status !== 'stored') throw new Error('refused');
    const old = first.object;
    old.metadata.resourceVersion = '1';
    const generationOf = (change: JsonObject): unknown => {
      const metadata = { ...old.metadata, ...(change['metadata'] as JsonObject | undefined) };
      const next = { ...old, ...change, metadata } as unknown as JsonObject;
      const outcome = update(kind, next, old);
      return outcome.status === 'stored' ? outcome.object.metadata.generation : outcome.body;
    };
    expect(generationOf({})).to.equal(1);
    expect(generationOf({ metadata: { annotations: { a: 'b' } } })).to.equal(1);
    expect(generationOf({ metadata: { labels: { a: 'b' } } })).to.equal(2);
    expect(generationOf({ endpoints: [{ addresses: ['10.0.0.1'] }] })).to.equal(2);
  });
});

describe('secrets', () => {
  it('take plain texts, which win over data', () => {
    const object = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {},
      data: { a: 'eA==', b: 'eA==' },
      stringData: { a: 'y' },
    };
    secret.setDefaults(object);
    expect(object).to.not.have.property('stringData');
    expect(object).to.deep.include({ data: { a: 'eQ==', b: 'eA==' }, type: 'Opaque' });
  });

  it('for registries hold JSON objects', () => {
    const problems = (text: string): string[] =>
      refused('Secret', {
        type: 'kubernetes.io/dockercfg',
        stringData: { '.dockercfg': text },
      }).map((found) => found.replace(/^.*redacted>": /, ''));
    const cases = {
      '{"a": [1, -2.5e3, "\\u00e9\\n", true, null, {}], "b": []}': '',
      null: '',
      '': 'unexpected end of JSON input',
      '{"a"': 'unexpected end of JSON input',
      '[]': 'json: cannot unmarshal array into Go value of type map[string]interface {}',
      '1': 'json: cannot unmarshal number into Go value of type map[string]interface {}',
      '{,': "invalid character ',' looking for beginning of object key string",
      '{"a" 1}': "invalid character '1' after object key",
      '{"a": 1 2}': "invalid character '2' after object key:value pair",
      '{"a": [1 2]}': "invalid character '2' after array element",
      '{} x': "invalid character 'x' after top-level value",
      '{"a": nul}': "invalid character '}' in literal null (expecting 'l')",
      '{"a": -}': "invalid character '}' in numeric literal",
      '{"a": 1.}': "invalid character '}' after decimal point in numeric literal",
      '{"a": 1e}': "invalid character '}' in exponent of numeric literal",
      '{"a": "\\x"}': "invalid character 'x' in string escape code",
      '{"a": "\\u12g4"}': "invalid character 'g' in \\u hexadecimal character escape",
      '{"a": "\n"}': "invalid character '\\n' in string literal",
    };
    for (const [text, problem] of Object.entries(cases))
      expect(problems(text), text).to.deep.equal(problem === '' ? [] : [problem]);
  });

  it('for TLS warn of a key that is not that of the certificate', async () => {
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.createSelfSigned({
      name: 'CN=x',
      signingAlgorithm: algorithm,
      keys,
    });
    const own = KeyObject.from(keys.privateKey);
    const other = generateKeyPairSync('ed25519').privateKey;
    const pem = certificate.toString('pem');
    const warned = (crt: string, key: string): string[] | undefined =>
      secret.strategy.warnings?.(
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: {},
          type: 'kubernetes.io/tls',
          data: {
            'tls.crt': Buffer.from(crt).toString('base64'),
            'tls.key': Buffer.from(key).toString('base64'),
          },
        },
        undefined,
      );
    const text = (key: KeyObject): string =>
      key.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(warned(pem, text(own))).to.deep.equal([]);
    expect(warned(pem, text(other))).to.deep.equal(['tls: private key does not match public key']);
    expect(warned(pem, 'x')).to.deep.equal(['tls: failed to find any PEM data in key input']);
    expect(warned('x', text(own))).to.deep.equal([
      'tls: failed to find any PEM data in certificate input',
    ]);
  });
});

describe('warnings', () => {
  const warned = (kindName: string, body: JsonObject): string[] => {
    const kind = kindNamed(kindName);
    const object = { metadata: { name: 'x' }, ...body } as unknown as KubeObject;
    kind.setDefaults(object);
    kind.strategy.prepareCreate(object);
    return kind.strategy.warnings?.(object, undefined) ?? [];
  };

  it('of services name what is ignored', () => {
    const spec = {
      clusterIP: 'None',
      externalIPs: ['8.8.8.8'],
      sessionAffinity: 'ClientIP',
      externalName: 'x',
      trafficDistribution: 'PreferClose',
    };
    expect(warned('Service', { spec })).to.deep.equal([
      'spec.externalIPs is ignored for headless services',
      'spec.SessionAffinity is ignored for headless services',
      'spec.externalName is ignored when spec.type is not "ExternalName"',
      'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
    ]);
  });

  it('of slices, endpoints and nodes name what is deprecated', () => {
    expect(warned('EndpointSlice', { addressType: 'FQDN', endpoints: [] })).to.deep.equal([
      'spec.addressType: FQDN endpoints are deprecated',
    ]);
    const subsets = [{ addresses: [{ ip: 'FD00::1' }] }];
    expect(warned('Endpoints', { subsets })[0]).to.match(/^subsets\[0\]\.addresses\[0\]\.ip: IPv6/);
    expect(warned('Node', { spec: { externalID: 'x' } })).to.deep.equal([
      'spec.externalID: this field is deprecated, and is unused by Kubernetes',
    ]);
  });

  it('of service accounts come once', () => {
    const annotations = { 'kubernetes.io/enforce-mountable-secrets': 'true' };
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { annotations } };
    expect(serviceAccount.strategy.warnings?.(account, undefined)).to.have.length(1);
    expect(serviceAccount.strategy.warnings?.(account, account)).to.have.length(0);
  });
});

describe('service accounts', () => {
  it('keep only the names of their secrets', () => {
    const account = {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: {},
      secrets: [{ name: 's', namespace: 'other' }],
    };
    serviceAccount.strategy.prepareCreate(account);
    expect(account.secrets).to.deep.equal([{ name: 's' }]);
  });
});
