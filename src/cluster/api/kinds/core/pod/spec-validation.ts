/** The specification of a pod, in a pod or in a template (k8s.io/kubernetes pkg/apis/core/validation). */
import type {
  HostAlias,
  PodDNSConfig,
  PodResourceClaim,
  PodSpec,
} from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldProblems,
  fieldRequired,
  fieldTooLong,
  when,
} from '../../../validation/field-error.js';
import {
  dnsLabelProblems,
  qualifiedNameProblems,
  searchDomainProblems,
  subdomainProblems,
  type TextRule,
} from '../../../validation/names.js';
import { validateLabels } from '../../../validation/object-meta.js';
import { validateResourceRequirements } from '../../../validation/resources.js';
import { validateIpLoosely, validateOneOf, validateRange } from '../../../validation/values.js';
import {
  validateContainers,
  validateEphemeralContainers,
  validateInitContainers,
} from './container-validation.js';
import { containersOf } from './containers.js';
import { validatePodResources } from './pod-resources.js';
import {
  validateAffinity,
  validateSchedulingGates,
  validateSpreadConstraints,
  validateTolerations,
} from './scheduling-validation.js';
import { validatePodSecurity } from './security-validation.js';
import { validateVolumes } from './volume-validation.js';
import { validateHostProcesses, validateOs } from './windows-validation.js';

const RESTART_POLICIES = ['Always', 'OnFailure', 'Never'];
const DNS_POLICIES = ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'];
const MAX_INT32 = 2 ** 31 - 1;
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARS = 2048;
const MAX_HOST_NAME = 64;

/** `podName`: empty in a template. `ofPod`: a pod, to which some stricter rules apply. */
export function validatePodSpec(
  spec: PodSpec,
  podName: string,
  ofPod: boolean,
  path: string,
): FieldError[] {
  const at = (field: string): string => `${path}.${field}`;
  const volumes = validateVolumes(spec.volumes ?? [], podName, ofPod, at('volumes'));
  const context = { spec, volumes: volumes.valid };
  return [
    ...when(spec.terminationGracePeriodSeconds === undefined, () =>
      fieldRequired(at('terminationGracePeriodSeconds')),
    ),
    ...volumes.errors,
    ...validateResourceClaims(spec.resourceClaims ?? [], at('resourceClaims')),
    ...validateContainers(context, at('containers')),
    ...validateInitContainers(context, at('initContainers')),
    ...validateEphemeralContainers(context, at('ephemeralContainers')),
    ...validatePodResources(spec, at('resources')),
    ...validateHostNetworkPorts(spec, ofPod, at('containers')),
    ...validateOneOf(at('restartPolicy'), spec.restartPolicy, RESTART_POLICIES, true),
    ...validateOneOf(at('dnsPolicy'), spec.dnsPolicy, DNS_POLICIES, true),
    ...validateLabels(spec.nodeSelector, at('nodeSelector')),
    ...validatePodSecurity(spec, at('securityContext')),
    ...validateAffinity(spec.affinity, at('affinity')),
    ...validateDnsConfig(spec.dnsConfig, spec.dnsPolicy, at('dnsConfig')),
    ...(spec.readinessGates ?? []).flatMap(({ conditionType = '' }, index) =>
      fieldProblems(
        `${at('readinessGates')}[${index}].conditionType`,
        conditionType,
        qualifiedNameProblems(conditionType),
      ),
    ),
    ...validateSchedulingGates(spec.schedulingGates ?? [], at('schedulingGates')),
    ...validateSpreadConstraints(
      spec.topologySpreadConstraints ?? [],
      at('topologySpreadConstraints'),
    ),
    ...validateHostProcesses(spec, path),
    ...validateUserNamespace(spec, path),
    ...validateHostNames(spec, path),
    ...validateIdentity(spec, path),
    ...validateOs(spec, path),
    ...validateFileKeyVolumes(spec, path),
  ];
}

/** Fields that say who and where the pod is: names of other objects, mostly. */
function validateIdentity(spec: PodSpec, path: string): FieldError[] {
  const named = (field: string, name: string | undefined, rule: TextRule): FieldError[] =>
    name === undefined || name === '' ? [] : fieldProblems(`${path}.${field}`, name, rule(name));
  const { runtimeClassName, preemptionPolicy, activeDeadlineSeconds, overhead } = spec;
  return [
    ...named('serviceAccountName', spec.serviceAccountName, subdomainProblems),
    ...named('nodeName', spec.nodeName, subdomainProblems),
    ...validateRange(`${path}.activeDeadlineSeconds`, activeDeadlineSeconds, 1, MAX_INT32),
    ...named('hostname', spec.hostname, dnsLabelProblems),
    ...named('subdomain', spec.subdomain, dnsLabelProblems),
    ...validateTolerations(spec.tolerations ?? [], `${path}.tolerations`),
    ...validateHostAliases(spec.hostAliases ?? [], `${path}.hostAliases`),
    ...named('priorityClassName', spec.priorityClassName, subdomainProblems),
    ...(runtimeClassName === undefined
      ? []
      : fieldProblems(
          `${path}.runtimeClassName`,
          runtimeClassName,
          subdomainProblems(runtimeClassName),
        )),
    ...(preemptionPolicy === undefined
      ? []
      : validateOneOf(
          `${path}.preemptionPolicy`,
          preemptionPolicy,
          ['PreemptLowerPriority', 'Never'],
          true,
        )),
    ...(overhead === undefined
      ? []
      : validateResourceRequirements({ limits: overhead }, [], `${path}.overhead`)),
  ];
}

function validateResourceClaims(claims: readonly PodResourceClaim[], path: string): FieldError[] {
  const names = new Set<string>();
  return claims.flatMap((claim, index) => {
    const { name = '', resourceClaimName, resourceClaimTemplateName } = claim;
    const at = `${path}[${index}]`;
    const isTaken = names.has(name);
    names.add(name);
    const sources = [resourceClaimName, resourceClaimTemplateName];
    const count = sources.filter((source) => source !== undefined).length;
    const both =
      'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified';
    const none = 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`';
    const shown = {
      Name: name,
      ResourceClaimName: resourceClaimName ?? null,
      ResourceClaimTemplateName: resourceClaimTemplateName ?? null,
    };
    const ref = (field: string, target: string | undefined): FieldError[] =>
      target === undefined
        ? []
        : fieldProblems(`${at}.${field}`, target, subdomainProblems(target));
    return [
      ...(name === ''
        ? [fieldRequired(`${at}.name`)]
        : isTaken
          ? [fieldDuplicate(`${at}.name`, name)]
          : fieldProblems(`${at}.name`, name, dnsLabelProblems(name))),
      ...when(count === 2, () => fieldInvalid(at, shown, both)),
      ...when(count === 0, () => fieldInvalid(at, shown, none)),
      ...ref('resourceClaimName', resourceClaimName),
      ...ref('resourceClaimTemplateName', resourceClaimTemplateName),
    ];
  });
}

/** In the node's network a container's port is the node's. */
function validateHostNetworkPorts(spec: PodSpec, ofPod: boolean, path: string): FieldError[] {
  if (spec.hostNetwork !== true) return [];
  return (spec.containers ?? []).flatMap(({ ports = [] }, index) =>
    ports.flatMap(({ hostPort = 0, containerPort }, portIndex) =>
      when((ofPod || hostPort !== 0) && hostPort !== containerPort, () =>
        fieldInvalid(
          `${path}[${index}].ports[${portIndex}].hostPort`,
          hostPort,
          'must match `containerPort` when `hostNetwork` is true',
        ),
      ),
    ),
  );
}

function validateDnsConfig(
  config: PodDNSConfig | undefined,
  policy: string | undefined,
  path: string,
): FieldError[] {
  const { nameservers = [], searches = [], options = [] } = config ?? {};
  const onNone = 'when `dnsPolicy` is None';
  if (policy === 'None' && config === undefined)
    return [fieldRequired(path, `must provide \`dnsConfig\` ${onNone}`)];
  if (policy === 'None' && nameservers.length === 0)
    return [
      fieldRequired(`${path}.nameservers`, `must provide at least one DNS nameserver ${onNone}`),
    ];
  const tooMany = `must not have more than ${MAX_NAMESERVERS} nameservers`;
  return [
    ...when(nameservers.length > MAX_NAMESERVERS, () =>
      fieldInvalid(`${path}.nameservers`, nameservers, tooMany),
    ),
    ...nameservers.flatMap((server, index) =>
      validateIpLoosely(`${path}.nameservers[${index}]`, server),
    ),
    ...validateSearches(searches, `${path}.searches`),
    ...options.flatMap(({ name = '' }, index) =>
      when(name === '', () => fieldRequired(`${path}.options[${index}]`, 'must not be empty')),
    ),
  ];
}

function validateSearches(searches: string[], path: string): FieldError[] {
  const limit = (what: string): FieldError =>
    fieldInvalid(path, searches, `must not have more than ${what}`);
  return [
    ...when(searches.length > MAX_SEARCHES, () => limit(`${MAX_SEARCHES} search paths`)),
    ...when(searches.join(' ').length > MAX_SEARCH_CHARS, () =>
      limit(`${MAX_SEARCH_CHARS} characters (including spaces) in the search list`),
    ),
    ...searches.flatMap((search, index) => {
      const name = search.replace(/\.$/, '');
      // The root domain alone stands for no search.
      const problems = search === '.' ? [] : searchDomainProblems(name);
      return fieldProblems(`${path}[${index}]`, name, problems);
    }),
  ];
}

function validateHostAliases(aliases: readonly HostAlias[], path: string): FieldError[] {
  return aliases.flatMap(({ ip = '', hostnames = [] }, index) => [
    ...validateIpLoosely(`${path}[${index}].ip`, ip),
    ...hostnames.flatMap((name, nameIndex) =>
      fieldProblems(`${path}[${index}].hostnames[${nameIndex}]`, name, subdomainProblems(name)),
    ),
  ]);
}

/** A pod with users of its own cannot share the node's namespaces. */
function validateUserNamespace(spec: PodSpec, path: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  const detail = 'when `hostUsers` is false';
  return [
    ...when(spec.hostNetwork === true, () => fieldForbidden(`${path}.hostNetwork`, detail)),
    ...when(spec.hostPID === true, () => fieldForbidden(`${path}.HostPID`, detail)),
    ...when(spec.hostIPC === true, () => fieldForbidden(`${path}.HostIPC`, detail)),
    ...containersOf(spec, path).flatMap(({ container, path: at }) =>
      when((container.volumeDevices ?? []).length > 0, () =>
        fieldForbidden(`${at}.volumeDevices`, detail),
      ),
    ),
  ];
}

function validateHostNames(spec: PodSpec, path: string): FieldError[] {
  const { hostnameOverride: name } = spec;
  if (name === undefined) return [];
  const at = `${path}.hostnameOverride`;
  const notWith = (field: string): FieldError =>
    fieldForbidden(at, `may not be specified when ${field} is true`);
  return [
    ...when(spec.setHostnameAsFQDN === true, () => notWith('setHostnameAsFQDN')),
    ...when(spec.hostNetwork === true, () => notWith('hostNetwork')),
    ...when(Buffer.byteLength(name) > MAX_HOST_NAME, () => fieldTooLong(at, MAX_HOST_NAME)),
    ...fieldProblems(at, name, subdomainProblems(name)),
  ];
}

/** Variables may be read from a file of an emptyDir, where an init container can write it. */
function validateFileKeyVolumes(spec: PodSpec, path: string): FieldError[] {
  return containersOf(spec, path).flatMap(({ container, path: at }) =>
    (container.env ?? []).flatMap(({ valueFrom }, index) => {
      const name = valueFrom?.fileKeyRef?.volumeName;
      if (name === undefined) return [];
      const volume = (spec.volumes ?? []).find((candidate) => candidate.name === name);
      const field = `${at}.env[${index}].valueFrom.fileKeyRef.volumeName`;
      if (volume === undefined) return [fieldNotFound(field, name)];
      return when(volume.emptyDir === undefined, () =>
        fieldInvalid(field, name, 'referenced volume must be of type emptyDir'),
      );
    }),
  );
}
