/** Limits of what a pod may say, each at its edge, and sources of volumes that are seldom used. */
import { expect } from 'chai';
import type {
  Container,
  PodSpec,
  Volume,
  VolumeProjection,
} from '../../../../src/gen/kube-core-v1.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import { IMAGE, podWith, textsOf } from './pods.js';

function refusals(spec: Partial<PodSpec>): string[] {
  return textsOf(pod.validate(podWith({ serviceAccountName: 'default', ...spec })));
}

function container(fields: Partial<Container>): Partial<PodSpec> {
  return { containers: [{ ...IMAGE, ...fields }] };
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

describe('limits of pods', () => {
  const rule = { action: 'Restart', exitCodes: { operator: 'In', values: [1] } };
  const rules = (count: number): Partial<PodSpec> =>
    container({ restartPolicy: 'Never', restartPolicyRules: times(count, rule) });
  const codes = (count: number): Partial<PodSpec> => {
    const exitCodes = { operator: 'In', values: times(count, 1) };
    return container({ restartPolicy: 'Never', restartPolicyRules: [{ ...rule, exitCodes }] });
  };
  const profile = (bytes: number): Partial<PodSpec> => ({
    securityContext: {
      appArmorProfile: { type: 'Localhost', localhostProfile: 'x'.repeat(bytes) },
    },
  });
  const spec = (bytes: number): Partial<PodSpec> => ({
    securityContext: { windowsOptions: { gmsaCredentialSpec: 'x'.repeat(bytes) } },
  });
  const search = (length: number): Partial<PodSpec> => ({
    // Labels of 61 letters and a dot make 62 characters, with a space between two names 63.
    dnsConfig: { searches: [...times(32, 'a'.repeat(61)), 'b'].slice(0, length) },
  });
  const servers = (count: number): Partial<PodSpec> => ({
    dnsConfig: { nameservers: times(count, '10.0.0.1') },
  });
  const hostname = (length: number): Partial<PodSpec> => ({ hostnameOverride: 'a'.repeat(length) });

  const cases: readonly (readonly [string, (size: number) => Partial<PodSpec>, number, string])[] =
    [
      ['restart rules', rules, 20, 'Too many: 21: must have at most 20 items'],
      ['exit codes', codes, 255, 'Too many: 256: must have at most 255 items'],
      ['name of a profile', profile, 4095, 'Too long: may not be more than 4095 bytes'],
      ['credential of Windows', spec, 65_536, 'gmsaCredentialSpec size must be under 64 KiB'],
      ['search domains', search, 32, 'must not have more than 32 search paths'],
      ['name servers', servers, 3, 'must not have more than 3 nameservers'],
      ['host name', hostname, 64, 'Too long: may not be more than 64 bytes'],
    ];
  for (const [what, of, max, message] of cases) {
    it(`${what}: ${max}`, () => {
      expect(refusals(of(max))).to.deep.equal([]);
      const found = refusals(of(max + 1)).map((text) => text.slice(-message.length));
      expect(found[0]).to.equal(message);
    });
  }

  it('the deadline, from one second to the largest number', () => {
    const found = (activeDeadlineSeconds: number): string[] => refusals({ activeDeadlineSeconds });
    expect([1, 2 ** 31 - 1].flatMap(found)).to.deep.equal([]);
    expect([0, 2 ** 31].flatMap(found)).to.have.lengthOf(2);
  });

  it('a token lasts from ten minutes to 2^32 seconds', () => {
    const found = (expirationSeconds: number): string[] =>
      refusals({
        volumes: [
          {
            name: 'v',
            projected: { sources: [{ serviceAccountToken: { path: 't', expirationSeconds } }] },
          },
        ],
      });
    expect([600, 2 ** 32].flatMap(found)).to.deep.equal([]);
    expect([599, 2 ** 32 + 1].flatMap(found)).to.have.lengthOf(2);
  });

  it('users of Windows', () => {
    const found = (runAsUserName: string): string[] =>
      refusals({ securityContext: { windowsOptions: { runAsUserName } } }).map((text) =>
        text.slice(text.lastIndexOf(': ') + 2),
      );
    for (const name of ['user', 'domain\\user', 'dns.example.com\\user'])
      expect(found(name)).to.deep.equal([]);
    expect(found('')).to.deep.equal(['runAsUserName cannot be an empty string']);
    expect(found('a\\b\\c')).to.deep.equal([
      'runAsUserName cannot contain more than one backslash',
    ]);
    expect(found('a\\')).to.deep.equal(["runAsUserName's User cannot be empty"]);
    expect(found('.x\\u')).to.deep.equal([
      "runAsUserName's Domain doesn't match the NetBios nor the DNS format",
    ]);
    expect(found('.')).to.deep.equal([
      "runAsUserName's User cannot contain only periods or spaces",
    ]);
  });

  it('all containers of a pod are processes of a Windows host, or none', () => {
    const own = (hostProcess: boolean): Container => ({
      ...IMAGE,
      securityContext: { windowsOptions: { hostProcess } },
    });
    const of = (hostProcess: boolean, containers: Container[]): Partial<PodSpec> => ({
      hostNetwork: true,
      securityContext: { windowsOptions: { hostProcess } },
      containers,
    });
    expect(refusals(of(true, [IMAGE, { ...own(true), name: 'd' }]))).to.deep.equal([]);
    expect(refusals(of(true, [own(false)]))).to.deep.equal([
      'spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: false: pod hostProcess value must be identical if both are specified, was true',
    ]);
    const mixed = { containers: [own(true), { name: 'd', image: 'x' }] };
    expect(refusals(mixed)).to.deep.equal([
      'spec: Invalid value: "": If pod contains any hostProcess containers then all containers must be HostProcess containers',
      'spec.hostNetwork: Invalid value: false: hostNetwork must be true if pod contains any hostProcess containers',
    ]);
  });

  it('zero is an amount', () => {
    expect(refusals(container({ resources: { limits: { cpu: '0' } } }))).to.deep.equal([]);
  });

  it('a pod as a whole asks for CPU, memory and huge pages only', () => {
    const asked = (name: string): string[] =>
      refusals({ resources: { limits: { cpu: '1', [name]: '2Mi' } } }).slice(0, 1);
    expect(asked('memory')).to.deep.equal([]);
    expect(asked('hugepages-2Mi')).to.deep.equal([]);
    expect(asked('ephemeral-storage')).to.deep.equal([
      'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: "cpu", "hugepages-", "memory"',
    ]);
  });

  it('policies of resizing', () => {
    const policy = (resourceName: string, restartPolicy = 'NotRequired') => ({
      resourceName,
      restartPolicy,
    });
    const resizePolicy = [policy('cpu'), policy('memory'), policy('cpu'), policy('gpu', 'Never')];
    expect(refusals(container({ resizePolicy }))).to.deep.equal([
      'spec.containers[0].resizePolicy[2]: Duplicate value: "cpu"',
      'spec.containers[0].resizePolicy: Unsupported value: "gpu": supported values: "cpu", "memory"',
      'spec.containers[0].resizePolicy: Unsupported value: "Never": supported values: "NotRequired", "RestartContainer"',
    ]);
  });
});

describe('sources of volumes', () => {
  function ofVolume(volume: Omit<Volume, 'name'>): string[] {
    return refusals({ volumes: [{ name: 'v', ...volume }] });
  }

  function ofSource(source: VolumeProjection): string[] {
    return ofVolume({ projected: { sources: [source] } });
  }

  const at = 'spec.volumes[0]';
  const bundle = `${at}.projected.sources[0].clusterTrustBundle`;
  const certificate = `${at}.projected.sources[0].podCertificate`;

  it('a bundle of trust by name or by signer', () => {
    expect(ofSource({ clusterTrustBundle: { name: 'a', path: 'f' } })).to.deep.equal([]);
    expect(ofSource({ clusterTrustBundle: { signerName: 'a.b/c', path: 'f' } })).to.deep.equal([]);
    expect(ofSource({ clusterTrustBundle: { path: '' } })).to.deep.equal([
      `${bundle}: Required value: either name or signerName must be specified`,
      `${bundle}.path: Required value`,
    ]);
    expect(
      ofSource({ clusterTrustBundle: { name: 'a', signerName: 'a.b/c', path: 'f' } }),
    ).to.deep.equal([
      `${bundle}: Invalid value: {"name":"a","signerName":"a.b/c","path":"f"}: only one of name and signerName may be used`,
    ]);
    expect(ofSource({ clusterTrustBundle: { signerName: 'plain', path: 'f' } })).to.deep.equal([
      `${bundle}.signerName: Invalid value: "plain": must be a fully qualified domain and path of the form 'example.com/signer-name'`,
    ]);
  });

  it('a certificate of the pod', () => {
    const plain = { signerName: 'a.b/c', keyType: 'ED25519', keyPath: 'key' };
    const lasting = (signerName: string, maxExpirationSeconds: number): string[] =>
      ofSource({ podCertificate: { ...plain, signerName, maxExpirationSeconds } });
    expect(lasting('a.b/c', 3600)).to.deep.equal([]);
    expect(lasting('kubernetes.io/c', 86_400)).to.deep.equal([]);
    expect(lasting('a.b/c', 3599)).to.deep.equal([
      `${certificate}.maxExpirationSeconds: Invalid value: 3599: if provided, maxExpirationSeconds must be >= 3600`,
    ]);
    expect(lasting('kubernetes.io/c', 86_401)).to.deep.equal([
      `${certificate}.maxExpirationSeconds: Invalid value: 86401: if provided, maxExpirationSeconds must be <= 86400`,
    ]);
    expect(ofSource({ podCertificate: { signerName: 'a.b/c', keyType: 'X' } })).to.deep.equal([
      `${certificate}.keyType: Unsupported value: "X": supported values: "RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"`,
      `${certificate}: Required value: specify at least one of credentialBundlePath, keyPath, and certificateChainPath`,
    ]);
  });

  it('the two paths of a token and a bundle cannot be one source', () => {
    expect(ofSource({ serviceAccountToken: { path: 't' }, secret: { name: 's' } })).to.deep.equal([
      `${at}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source`,
    ]);
  });

  it('files of the downward API', () => {
    const field = { apiVersion: 'v1', fieldPath: 'metadata.name' };
    expect(
      ofVolume({
        downwardAPI: {
          defaultMode: -1,
          items: [
            { path: 'a', fieldRef: field, resourceFieldRef: { resource: 'limits.cpu' } },
            { path: 'b', resourceFieldRef: { resource: 'limits.cpu' } },
            { path: '/c', fieldRef: { fieldPath: 'status.podIP' } },
            { path: '' },
          ],
        },
      }),
    ).to.deep.equal([
      `${at}.downwardAPI.defaultMode: Invalid value: -1: must be a number between 0 and 0777 (octal), both inclusive`,
      `${at}.downwardAPI: Invalid value: "resource": fieldRef and resourceFieldRef can not be specified simultaneously`,
      `${at}.downwardAPI.resourceFieldRef.containerName: Required value`,
      `${at}.downwardAPI.path: Invalid value: "/c": must be a relative path`,
      `${at}.downwardAPI.fieldRef.fieldPath: Unsupported value: "status.podIP": supported values: "metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"`,
      `${at}.downwardAPI.path: Required value`,
      `${at}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required`,
    ]);
  });

  it('drivers outside Kubernetes and inside it', () => {
    expect(ofVolume({ csi: { driver: 'Example.com', nodePublishSecretRef: {} } })).to.deep.equal([
      `${at}.csi.nodePublishSecretRef.name: Required value`,
    ]);
    expect(ofVolume({ hostPath: { path: '/a/../b', type: 'Odd' } })).to.deep.equal([
      `${at}.hostPath.path: Invalid value: "/a/../b": must not contain '..'`,
      `${at}.hostPath.type: Unsupported value: "Odd": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"`,
    ]);
    expect(ofVolume({ fc: { targetWWNs: ['a'], wwids: ['b'] } })).to.deep.equal([
      `${at}.fc.targetWWNs: Invalid value: ["a"]: targetWWNs and wwids can not be specified simultaneously`,
      `${at}.fc.lun: Required value: lun is required if targetWWNs is specified`,
    ]);
    expect(ofVolume({ flexVolume: { driver: 'd', options: { 'k8s.io/a': '' } } })).to.deep.equal([
      `${at}.flexVolume.options[k8s.io/a]: Invalid value: "k8s.io/a": kubernetes.io and k8s.io namespaces are reserved`,
    ]);
    expect(ofVolume({ quobyte: { registry: 'a:1,b', volume: '' } })).to.deep.equal([
      `${at}.quobyte.registry: Invalid value: "a:1,b": must be a host:port pair or multiple pairs separated by commas`,
      `${at}.quobyte.volume: Required value`,
    ]);
    expect(ofVolume({ flocker: { datasetName: 'a/b', datasetUUID: 'u' } })).to.deep.equal([
      `${at}.flocker: Invalid value: "resource": datasetName and datasetUUID can not be specified simultaneously`,
      `${at}.flocker.datasetName: Invalid value: "a/b": must not contain '/'`,
    ]);
  });

  it('an image to mount, which a template may still lack', () => {
    expect(ofVolume({ image: { pullPolicy: 'Odd' } })).to.deep.equal([
      `${at}.image.reference: Required value`,
      `${at}.image.pullPolicy: Unsupported value: "Odd": supported values: "Always", "IfNotPresent", "Never"`,
    ]);
  });
});

describe('profiles in annotations and fields', () => {
  const seccomp = 'seccomp.security.alpha.kubernetes.io/pod';
  const appArmor = 'container.apparmor.security.beta.kubernetes.io/c';
  const found = (annotations: object, spec: Partial<PodSpec>): string[] =>
    textsOf(pod.validate(podWith(spec, { annotations })));

  it('must say the same', () => {
    const local = { type: 'Localhost', localhostProfile: 'a' };
    const spec = { securityContext: { seccompProfile: local, appArmorProfile: local } };
    expect(found({ [seccomp]: 'localhost/a', [appArmor]: 'localhost/a' }, spec)).to.deep.equal([]);
    expect(found({ [seccomp]: 'localhost/b', [appArmor]: 'unconfined' }, spec)).to.deep.equal([
      'spec.securityContext.seccompProfile.localhostProfile: Forbidden: seccomp profile in annotation and field must match',
    ]);
    const loose = { securityContext: { seccompProfile: { type: 'Unconfined' } } };
    expect(found({ [seccomp]: 'docker/default' }, loose)).to.deep.equal([
      'spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match',
    ]);
    const runtime = { securityContext: { seccompProfile: { type: 'RuntimeDefault' } } };
    expect(found({ [seccomp]: 'docker/default' }, runtime)).to.deep.equal([]);
  });
});
