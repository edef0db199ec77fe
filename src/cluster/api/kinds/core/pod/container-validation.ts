/** Containers of every sort. */
import type {
  Container,
  ContainerPort,
  ContainerResizePolicy,
  PodSpec,
} from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldProblems,
  fieldRequired,
  fieldTooMany,
  when,
} from '../../../validation/field-error.js';
import { dnsLabelProblems, portNameProblems } from '../../../validation/names.js';
import { validateResourceRequirements } from '../../../validation/resources.js';
import { validateOneOf, validatePort } from '../../../validation/values.js';
import { isSidecar, type AnyContainer } from './containers.js';
import { validateEnv, validateEnvFrom } from './env-validation.js';
import { validateDevices, validateMounts, type Volumes } from './mount-validation.js';
import { validateProbes } from './probe-validation.js';
import { validateContainerSecurity } from './security-validation.js';

const MESSAGE_POLICIES = ['File', 'FallbackToLogsOnError'];
const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const RESTART_POLICIES = ['Always', 'Never', 'OnFailure'];
const RESTART_ACTIONS = ['Restart', 'RestartAllContainers'];
const MAX_RESTART_RULES = 20;
const MAX_EXIT_CODES = 255;

/** Parts of a pod that its containers refer to. */
export interface ContainerContext {
  readonly spec: PodSpec;
  readonly volumes: Volumes;
}

export function validateContainers(context: ContainerContext, path: string): FieldError[] {
  const containers = context.spec.containers ?? [];
  const grace = context.spec.terminationGracePeriodSeconds;
  if (containers.length === 0) return [fieldRequired(path)];
  const names = new Set<string>();
  return [
    ...containers.flatMap((container, index) => {
      const at = `${path}[${index}]`;
      return [
        ...validateCommon(container, context, at),
        ...takeName(container, names, at),
        ...validateProbes(container, grace, at),
        ...validateRestartRules(container, at),
      ];
    }),
    ...validateHostPorts(containers, path),
  ];
}

export function validateInitContainers(context: ContainerContext, path: string): FieldError[] {
  const { spec } = context;
  const names = new Set((spec.containers ?? []).map(({ name }) => name));
  return (spec.initContainers ?? []).flatMap((container, index) => {
    const at = `${path}[${index}]`;
    return [
      ...validateCommon(container, context, at),
      ...validateRestartRules(container, at),
      ...takeName(container, names, at),
      ...validateHostPorts([container], path),
      ...(isSidecar(container)
        ? validateProbes(container, spec.terminationGracePeriodSeconds, at)
        : validateEndingContainer(container, at)),
    ];
  });
}

/** An init container that ends has no use for what watches or restarts a running one. */
function validateEndingContainer(container: Container, path: string): FieldError[] {
  const fields = ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const;
  const detail = 'may not be set for init containers without restartPolicy=Always';
  return [
    ...fields.flatMap((field) =>
      when(container[field] !== undefined, () => fieldForbidden(`${path}.${field}`, detail)),
    ),
    ...(container.resizePolicy ?? []).flatMap(({ restartPolicy }, index) =>
      when(restartPolicy === 'RestartContainer', () =>
        fieldInvalid(
          `${path}.resizePolicy[${index}].restartPolicy`,
          restartPolicy,
          "must not be set to 'RestartContainer' for non-sidecar initContainers",
        ),
      ),
    ),
  ];
}

/** Fields of containers that a container added to a running pod cannot have. */
const NOT_EPHEMERAL = [
  'ports',
  'resources',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
] as const;

export function validateEphemeralContainers(context: ContainerContext, path: string): FieldError[] {
  const { containers = [], initContainers = [], ephemeralContainers = [] } = context.spec;
  const others = new Set([...containers, ...initContainers].map(({ name }) => name));
  const names = new Set(others);
  const detail = 'cannot be set for an Ephemeral Container';
  return ephemeralContainers.flatMap((container, index) => {
    const at = `${path}[${index}]`;
    const { targetContainerName: target = '', volumeMounts = [] } = container;
    return [
      ...validateCommon(container, context, at),
      ...validateImagePadding(container, at),
      ...takeName(container, names, at),
      ...when(target !== '' && !others.has(target), () =>
        fieldNotFound(`${at}.targetContainerName`, target),
      ),
      ...NOT_EPHEMERAL.flatMap((field) =>
        when(hasContent(container[field]), () => fieldForbidden(`${at}.${field}`, detail)),
      ),
      ...volumeMounts.flatMap((mount, mountIndex) =>
        (['subPath', 'subPathExpr'] as const).flatMap((field) =>
          when((mount[field] ?? '') !== '', () =>
            fieldForbidden(`${at}.volumeMounts[${mountIndex}].${field}`, detail),
          ),
        ),
      ),
    ];
  });
}

function hasContent(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value !== undefined;
  return Object.keys(value).length > 0;
}

/** Remembers the name of a container; no other of the pod may have it. */
function takeName({ name = '' }: AnyContainer, taken: Set<string>, path: string): FieldError[] {
  const isTaken = taken.has(name);
  taken.add(name);
  return when(isTaken, () => fieldDuplicate(`${path}.name`, name));
}

function validateCommon(
  container: AnyContainer,
  { spec, volumes }: ContainerContext,
  path: string,
): FieldError[] {
  const { name = '', image = '' } = container;
  const claims = (spec.resourceClaims ?? []).map((claim) => claim.name ?? '');
  const knownClaims = claims.filter((claim) => claim !== '');
  const at = (field: string): string => `${path}.${field}`;
  const isHostUsers = spec.hostUsers !== false;
  return [
    ...(name === ''
      ? [fieldRequired(at('name'))]
      : fieldProblems(at('name'), name, dnsLabelProblems(name))),
    ...when(image === '', () => fieldRequired(at('image'))),
    ...validateOneOf(
      at('terminationMessagePolicy'),
      container.terminationMessagePolicy,
      MESSAGE_POLICIES,
      true,
    ),
    ...validatePorts(container.ports ?? [], at('ports')),
    ...validateEnv(container.env ?? [], at('env')),
    ...validateEnvFrom(container.envFrom ?? [], at('envFrom')),
    ...validateMounts(container, volumes, at('volumeMounts')),
    ...validateDevices(container, volumes, at('volumeDevices')),
    ...validateOneOf(at('imagePullPolicy'), container.imagePullPolicy, PULL_POLICIES, true),
    ...validateResourceRequirements(container.resources ?? {}, knownClaims, at('resources')),
    ...validateResizePolicies(container.resizePolicy ?? [], spec, at('resizePolicy')),
    ...validateContainerSecurity(container.securityContext, isHostUsers, at('securityContext')),
  ];
}

/** Templates may still hold an image with spaces around it, pods may not. */
export function validateImagePadding({ image = '' }: AnyContainer, path: string): FieldError[] {
  const detail = 'must not have leading or trailing whitespace';
  return when(image.trim() !== image, () => fieldInvalid(`${path}.image`, image, detail));
}

function validatePorts(ports: readonly ContainerPort[], path: string): FieldError[] {
  const names = new Set<string>();
  return ports.flatMap(({ name = '', containerPort = 0, hostPort = 0, protocol }, index) => {
    const at = `${path}[${index}]`;
    const problems = name === '' ? [] : portNameProblems(name);
    const isTaken = name !== '' && problems.length === 0 && names.has(name);
    names.add(name);
    return [
      ...fieldProblems(`${at}.name`, name, problems),
      ...when(isTaken, () => fieldDuplicate(`${at}.name`, name)),
      ...(containerPort === 0
        ? [fieldRequired(`${at}.containerPort`)]
        : validatePort(`${at}.containerPort`, containerPort)),
      ...(hostPort === 0 ? [] : validatePort(`${at}.hostPort`, hostPort)),
      ...validateOneOf(`${at}.protocol`, protocol, PROTOCOLS, true),
    ];
  });
}

/** One address of the node can belong to one container only. */
function validateHostPorts(containers: readonly Container[], path: string): FieldError[] {
  const taken = new Set<string>();
  return containers.flatMap(({ ports = [] }, index) =>
    ports.flatMap(({ hostPort = 0, protocol = '', hostIP = '' }, portIndex) => {
      if (hostPort === 0) return [];
      const key = `${protocol}/${hostIP}/${hostPort}`;
      const isTaken = taken.has(key);
      taken.add(key);
      const at = `${path}[${index}].ports[${portIndex}].hostPort`;
      return when(isTaken, () => fieldDuplicate(at, key));
    }),
  );
}

function validateResizePolicies(
  policies: readonly ContainerResizePolicy[],
  { restartPolicy: ofPod }: PodSpec,
  path: string,
): FieldError[] {
  return policies.flatMap(({ resourceName = '', restartPolicy = '' }, index) => {
    const isRepeated = policies
      .slice(0, index)
      .some((other) => other.resourceName === resourceName);
    const detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
    return [
      ...when(isRepeated, () => fieldDuplicate(`${path}[${index}]`, resourceName)),
      ...validateOneOf(path, resourceName, ['cpu', 'memory'], true),
      ...validateOneOf(path, restartPolicy, ['NotRequired', 'RestartContainer'], true),
      ...when(ofPod === 'Never' && restartPolicy !== 'NotRequired', () =>
        fieldInvalid(path, restartPolicy, detail),
      ),
    ];
  });
}

/** Rules by which a container that ended starts again (KEP-5307). */
function validateRestartRules(container: AnyContainer, path: string): FieldError[] {
  const { restartPolicy, restartPolicyRules: rules = [] } = container;
  const at = `${path}.restartPolicy`;
  const missing = 'must specify restartPolicy when restart rules are used';
  if (restartPolicy === undefined && rules.length === 0) return [];
  return [
    ...(restartPolicy === undefined
      ? [fieldRequired(at, missing)]
      : validateOneOf(at, restartPolicy, RESTART_POLICIES)),
    ...when(rules.length > MAX_RESTART_RULES, () =>
      fieldTooMany(`${at}Rules`, rules.length, MAX_RESTART_RULES),
    ),
    ...rules.flatMap(({ action, exitCodes }, index) => {
      const rule = `${at}Rules[${index}]`;
      return [
        ...validateOneOf(`${rule}.action`, action, RESTART_ACTIONS),
        ...(exitCodes === undefined
          ? [fieldRequired(`${rule}.exitCodes`, 'must be specified')]
          : validateExitCodes(exitCodes, `${rule}.exitCodes`)),
      ];
    }),
  ];
}

function validateExitCodes(
  { operator = '', values = [] }: { operator?: string; values?: number[] | undefined },
  path: string,
): FieldError[] {
  return [
    ...when(!['In', 'NotIn'].includes(operator), () =>
      fieldNotSupported(`${path}.operator`, operator, ['In', 'NotIn']),
    ),
    ...when(values.length > MAX_EXIT_CODES, () =>
      fieldTooMany(`${path}.values`, values.length, MAX_EXIT_CODES),
    ),
  ];
}
