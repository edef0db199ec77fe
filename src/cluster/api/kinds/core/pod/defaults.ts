/** Defaults of a pod or a pod template (k8s.io/kubernetes pkg/apis/core/v1). */
import type {
  Container,
  EnvVar,
  HTTPGetAction,
  Pod,
  PodSpec,
  Probe,
  ResourceRequirements,
  Volume,
} from '../../../../../gen/kube-core-v1.js';
import { roundAmounts } from '../../amounts.js';
import { containersOf, type AnyContainer } from './containers.js';
import { setPodResourceDefaults } from './pod-resources.js';

const DEFAULT_FILE_MODE = 0o644;
const TOKEN_SECONDS = 3600;

/** Fills in a pod: more than a template gets, since a template stays what its author wrote. */
export function setPodDefaults(pod: Pod): void {
  pod.spec = (pod as Partial<Pod>).spec ?? { containers: [] };
  const { spec } = pod;
  setPodSpecDefaults(spec);
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1;
  for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) {
    requestWhatIsLimited(container);
    if (spec.hostNetwork === true) useHostPorts(container);
  }
  setPodResourceDefaults(spec);
  spec.enableServiceLinks ??= true;
}

function useHostPorts({ ports }: Container): void {
  for (const port of ports ?? []) port.hostPort = positive(port.hostPort, port.containerPort);
}

/** Fills in the specification of a pod, in a pod or in a template. */
export function setPodSpecDefaults(spec: PodSpec): void {
  spec.containers ??= [];
  spec.dnsPolicy = given(spec.dnsPolicy, 'ClusterFirst');
  spec.restartPolicy = given(spec.restartPolicy, 'Always');
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName = given(spec.schedulerName, 'default-scheduler');
  setAccountNames(spec);
  roundAmounts(spec.overhead);
  roundAmounts(spec.resources?.limits);
  roundAmounts(spec.resources?.requests);
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume);
  for (const { container } of containersOf(spec, '')) setContainerDefaults(container);
}

/** An empty text counts as not given. */
function given(value: string | undefined, otherwise: string): string {
  return value === undefined || value === '' ? otherwise : value;
}

/** Two fields name the service account; the older one follows the newer. */
function setAccountNames(spec: PodSpec): void {
  const name = given(spec.serviceAccountName, spec.serviceAccount ?? '');
  if (name === '') return;
  spec.serviceAccountName = name;
  spec.serviceAccount = name;
}

function setContainerDefaults(container: AnyContainer): void {
  container.imagePullPolicy = given(container.imagePullPolicy, pullPolicyOf(container.image));
  container.terminationMessagePath = given(
    container.terminationMessagePath,
    '/dev/termination-log',
  );
  container.terminationMessagePolicy = given(container.terminationMessagePolicy, 'File');
  roundAmounts(container.resources?.limits);
  roundAmounts(container.resources?.requests);
  for (const port of container.ports ?? []) port.protocol = given(port.protocol, 'TCP');
  for (const variable of container.env ?? []) setVariableDefaults(variable);
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe])
    if (probe !== undefined) setProbeDefaults(probe);
  setHttpDefaults(container.lifecycle?.postStart?.httpGet);
  setHttpDefaults(container.lifecycle?.preStop?.httpGet);
}

function setVariableDefaults({ valueFrom }: EnvVar): void {
  const field = valueFrom?.fieldRef;
  if (field !== undefined) field.apiVersion = given(field.apiVersion, 'v1');
}

/** The last part of an image's name, with tag and digest. */
const IMAGE = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?::([\w][\w.-]{0,127}))?(?:@(.+))?$/;

/** `latest` moves, so that it is always pulled; an image without tag and digest is the latest. */
function pullPolicyOf(image = ''): string {
  const found = IMAGE.exec(image.slice(image.lastIndexOf('/') + 1));
  if (found === null) return 'IfNotPresent';
  const [, tag, digest] = found;
  return tag === 'latest' || (tag === undefined && digest === undefined)
    ? 'Always'
    : 'IfNotPresent';
}

function setProbeDefaults(probe: Probe): void {
  probe.timeoutSeconds = positive(probe.timeoutSeconds, 1);
  probe.periodSeconds = positive(probe.periodSeconds, 10);
  probe.successThreshold = positive(probe.successThreshold, 1);
  probe.failureThreshold = positive(probe.failureThreshold, 3);
  setHttpDefaults(probe.httpGet);
  if (probe.grpc !== undefined) probe.grpc.service ??= '';
}

/** Zero counts as not given; a negative number is for the validation to refuse. */
function positive(value: number | undefined, otherwise: number): number {
  return value === undefined || value === 0 ? otherwise : value;
}

function setHttpDefaults(action: HTTPGetAction | undefined): void {
  if (action === undefined) return;
  action.path = given(action.path, '/');
  action.scheme = given(action.scheme, 'HTTP');
}

function setVolumeDefaults(volume: Volume): void {
  const { name: _name, ...sources } = volume;
  if (Object.values(sources).every((source) => source === undefined)) volume.emptyDir = {};
  const { image, hostPath, secret, configMap, downwardAPI, projected, ephemeral } = volume;
  if (image !== undefined)
    image.pullPolicy = given(image.pullPolicy, pullPolicyOf(image.reference));
  if (hostPath !== undefined) hostPath.type ??= '';
  for (const source of [secret, configMap, downwardAPI, projected])
    if (source !== undefined) source.defaultMode ??= DEFAULT_FILE_MODE;
  const files = [
    ...(downwardAPI?.items ?? []),
    ...(projected?.sources ?? []).flatMap((source) => source.downwardAPI?.items ?? []),
  ];
  for (const { fieldRef } of files)
    if (fieldRef !== undefined) fieldRef.apiVersion = given(fieldRef.apiVersion, 'v1');
  for (const { serviceAccountToken } of projected?.sources ?? [])
    if (serviceAccountToken !== undefined) serviceAccountToken.expirationSeconds ??= TOKEN_SECONDS;
  const claim = ephemeral?.volumeClaimTemplate?.spec;
  if (claim !== undefined) {
    claim.volumeMode ??= 'Filesystem';
    roundAmounts(claim.resources?.limits);
    roundAmounts(claim.resources?.requests);
  }
  setOldVolumeDefaults(volume);
}

function setOldVolumeDefaults({ iscsi, rbd, azureDisk, scaleIO }: Volume): void {
  if (iscsi !== undefined) iscsi.iscsiInterface = given(iscsi.iscsiInterface, 'default');
  if (rbd !== undefined) {
    rbd.pool = given(rbd.pool, 'rbd');
    rbd.user = given(rbd.user, 'admin');
    rbd.keyring = given(rbd.keyring, '/etc/ceph/keyring');
  }
  if (azureDisk !== undefined) {
    azureDisk.cachingMode ??= 'ReadWrite';
    azureDisk.kind ??= 'Shared';
    azureDisk.fsType ??= 'ext4';
    azureDisk.readOnly ??= false;
  }
  if (scaleIO !== undefined) {
    scaleIO.storageMode = given(scaleIO.storageMode, 'ThinProvisioned');
    scaleIO.fsType = given(scaleIO.fsType, 'xfs');
  }
}

/** A container that may use so much asks for so much, if it does not say otherwise. */
function requestWhatIsLimited(container: Container): void {
  const limits = container.resources?.limits;
  if (limits === undefined) return;
  const resources: ResourceRequirements = container.resources ?? {};
  resources.requests = { ...limits, ...resources.requests };
  container.resources = resources;
}
