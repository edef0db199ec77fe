/** Probes of a container and what it does when it starts and stops. */
import type {
  HTTPGetAction,
  Lifecycle,
  LifecycleHandler,
  Probe,
} from '../../../../../gen/kube-core-v1.js';
import type { FieldError } from '../../../status.js';
import {
  fieldInvalid,
  fieldProblems,
  fieldRequired,
  validateAlternatives,
  when,
  type Alternative,
} from '../../../validation/field-error.js';
import { headerNameProblems } from '../../../validation/names.js';
import {
  validateNonNegative,
  validateOneOf,
  validatePort,
  validatePortReference,
} from '../../../validation/values.js';
import type { AnyContainer } from './containers.js';

/** Of a container that keeps running: its lifecycle handlers and its three probes. `grace`: seconds that the pod gets to end. */
export function validateProbes(
  container: AnyContainer,
  grace: number | undefined,
  path: string,
): FieldError[] {
  const { lifecycle, livenessProbe, readinessProbe, startupProbe } = container;
  return [
    ...(lifecycle === undefined ? [] : validateLifecycle(lifecycle, grace, `${path}.lifecycle`)),
    ...validateLivenessProbe(livenessProbe, grace, `${path}.livenessProbe`),
    ...validateReadinessProbe(readinessProbe, grace, `${path}.readinessProbe`),
    ...validateLivenessProbe(startupProbe, grace, `${path}.startupProbe`),
  ];
}

/** Startup probes have the same rules. */
function validateLivenessProbe(
  probe: Probe | undefined,
  grace: number | undefined,
  path: string,
): FieldError[] {
  if (probe === undefined) return [];
  return [
    ...validateProbe(probe, grace, path),
    ...when(probe.successThreshold !== 1, () =>
      fieldInvalid(`${path}.successThreshold`, probe.successThreshold ?? 0, 'must be 1'),
    ),
  ];
}

function validateReadinessProbe(
  probe: Probe | undefined,
  grace: number | undefined,
  path: string,
): FieldError[] {
  if (probe === undefined) return [];
  const seconds = probe.terminationGracePeriodSeconds;
  const detail = 'must not be set for readinessProbes';
  return [
    ...validateProbe(probe, grace, path),
    ...when(seconds !== undefined, () =>
      fieldInvalid(`${path}.terminationGracePeriodSeconds`, seconds, detail),
    ),
  ];
}

function validateProbe(probe: Probe, grace: number | undefined, path: string): FieldError[] {
  const own = probe.terminationGracePeriodSeconds;
  return [
    ...validateHandler(probe, grace, path),
    ...validateNonNegative(`${path}.initialDelaySeconds`, probe.initialDelaySeconds),
    ...validateNonNegative(`${path}.timeoutSeconds`, probe.timeoutSeconds),
    ...validateNonNegative(`${path}.periodSeconds`, probe.periodSeconds),
    ...validateNonNegative(`${path}.successThreshold`, probe.successThreshold),
    ...validateNonNegative(`${path}.failureThreshold`, probe.failureThreshold),
    ...when(own !== undefined && own <= 0, () =>
      fieldInvalid(`${path}.terminationGracePeriodSeconds`, own, 'must be greater than 0'),
    ),
  ];
}

/** Exactly one action of a probe or of a lifecycle event. */
function validateHandler(
  handler: Probe & LifecycleHandler,
  grace: number | undefined,
  path: string,
): FieldError[] {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler;
  const alternative = <T>(
    name: string,
    value: T | undefined,
    validate: (value: T, at: string) => FieldError[],
  ): Alternative => ({
    path: `${path}.${name}`,
    isGiven: value !== undefined,
    validate: () => (value === undefined ? [] : validate(value, `${path}.${name}`)),
  });
  const alternatives = [
    alternative('exec', exec, ({ command = [] }, at) =>
      when(command.length === 0, () => fieldRequired(`${at}.command`)),
    ),
    alternative('httpGet', httpGet, validateHttpGet),
    alternative('tcpSocket', tcpSocket, ({ port }, at) =>
      validatePortReference(`${at}.port`, port),
    ),
    alternative('grpc', grpc, ({ port }, at) => validatePort(`${at}.port`, port)),
    alternative('sleep', sleep, ({ seconds }, at) => validateSleep(seconds, grace, at)),
  ];
  if (!alternatives.some(({ isGiven }) => isGiven))
    return [fieldRequired(path, 'must specify a handler type')];
  return validateAlternatives(alternatives, 'handler');
}

function validateHttpGet(action: HTTPGetAction, path: string): FieldError[] {
  return [
    ...when((action.path ?? '') === '', () => fieldRequired(`${path}.path`)),
    ...validatePortReference(`${path}.port`, action.port),
    ...validateOneOf(`${path}.scheme`, action.scheme, ['HTTP', 'HTTPS']),
    ...(action.httpHeaders ?? []).flatMap(({ name }) =>
      fieldProblems(`${path}.httpHeaders`, name, headerNameProblems(name)),
    ),
  ];
}

function validateSleep(seconds: number, grace: number | undefined, path: string): FieldError[] {
  if (grace === undefined || (seconds >= 0 && seconds <= grace)) return [];
  const detail = `must be non-negative and less than terminationGracePeriodSeconds (${grace})`;
  return [fieldInvalid(path, seconds, detail)];
}

function validateLifecycle(
  { postStart, preStop }: Lifecycle,
  grace: number | undefined,
  path: string,
): FieldError[] {
  return [
    ...(postStart === undefined ? [] : validateHandler(postStart, grace, `${path}.postStart`)),
    ...(preStop === undefined ? [] : validateHandler(preStop, grace, `${path}.preStop`)),
  ];
}
