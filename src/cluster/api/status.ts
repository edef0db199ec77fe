/**
 * Errors of the API: the Status object that a client receives, as an exception on the way there.
 *
 * Clients switch on code and reason, and kubectl prints the message; reasons, codes and texts are
 * those of Kubernetes (k8s.io/apimachinery/pkg/api/errors).
 */
import type { Status, StatusCause, StatusDetails } from '../../gen/kube-meta-v1.js';

export type StatusReason =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Expired'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'Invalid'
  | 'TooManyRequests'
  | 'InternalError'
  | 'ServerTimeout'
  | 'ServiceUnavailable'
  | 'Timeout'
  | '';

/** The resource an error is about, as `deployments` of `apps`. */
export interface GroupResource {
  /** Empty for the core group. */
  readonly group: string;
  /** Plural, or for validation errors the kind. */
  readonly resource: string;
}

export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: Status;

  constructor(status: Status) {
    super(status.message ?? '');
    this.status = status;
  }

  get code(): number {
    return this.status.code ?? 500;
  }

  get reason(): string {
    return this.status.reason ?? '';
  }
}

export function isApiError(error: unknown, reason: StatusReason): boolean {
  return error instanceof ApiError && error.reason === reason;
}

/** Makes an error of any reason. */
export function apiError(
  code: number,
  reason: StatusReason,
  message: string,
  details?: StatusDetails,
): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason === '' ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  });
}

/** `deployments.apps`, or `pods`. */
export function qualified({ group, resource }: GroupResource): string {
  return group === '' ? resource : `${resource}.${group}`;
}

function detailsOf({ group, resource }: GroupResource, name: string): StatusDetails {
  return {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    ...(resource === '' ? {} : { kind: resource }),
  };
}

export function notFound(of: GroupResource, name: string): ApiError {
  const message = `${qualified(of)} ${quote(name)} not found`;
  return apiError(404, 'NotFound', message, detailsOf(of, name));
}

export function alreadyExists(of: GroupResource, name: string): ApiError {
  const message = `${qualified(of)} ${quote(name)} already exists`;
  return apiError(409, 'AlreadyExists', message, detailsOf(of, name));
}

export function conflict(of: GroupResource, name: string, why: string): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(of)} ${quote(name)}: ${why}`;
  return apiError(409, 'Conflict', message, detailsOf(of, name));
}

/** The text of every failed optimistic write (registry.OptimisticLockErrorMsg). */
export const OBJECT_MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export function badRequest(message: string): ApiError {
  return apiError(400, 'BadRequest', message);
}

export function unauthorized(): ApiError {
  return apiError(401, 'Unauthorized', 'Unauthorized');
}

/** `name` may be empty, for a collection. */
export function forbidden(of: GroupResource, name: string, why: string): ApiError {
  const what = name === '' ? qualified(of) : `${qualified(of)} ${quote(name)}`;
  return apiError(403, 'Forbidden', `${what} is forbidden: ${why}`, detailsOf(of, name));
}

export function methodNotSupported(): ApiError {
  return apiError(
    405,
    'MethodNotAllowed',
    'the server does not allow this method on the requested resource',
    {},
  );
}

/** Of a path that leads nowhere. */
export function unknownPath(): ApiError {
  return apiError(404, 'NotFound', 'the server could not find the requested resource', {});
}

export function notAcceptable(accepted: readonly string[]): ApiError {
  const message = `only the following media types are accepted: ${accepted.join(', ')}`;
  return apiError(406, 'NotAcceptable', message);
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  const list = accepted.join(', ');
  return apiError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${list}`,
  );
}

export function requestEntityTooLarge(why: string): ApiError {
  return apiError(413, 'RequestEntityTooLarge', `Request entity is too large: ${why}`);
}

/** A patch that cannot be applied to the object; clients are not told why. */
export function unprocessable(): ApiError {
  const message = 'the server rejected our request due to an error in our request';
  return apiError(422, 'Invalid', message, {});
}

/** The revision that was asked for is no longer held. */
export function expired(message: string): ApiError {
  return apiError(410, 'Expired', message);
}

export function internalError(why: string): ApiError {
  return apiError(500, 'InternalError', `Internal error occurred: ${why}`, {
    causes: [{ message: why }],
  });
}

export function timeout(message: string, causes?: StatusCause[]): ApiError {
  return apiError(504, 'Timeout', message, causes === undefined ? {} : { causes });
}

export function serviceUnavailable(message: string): ApiError {
  return apiError(503, 'ServiceUnavailable', message);
}

/** Of one field of an invalid object. The reasons are those of k8s.io/apimachinery field.ErrorType. */
export interface FieldError {
  readonly reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueDuplicate'
    | 'FieldValueNotFound'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany'
    | 'FieldValueTypeInvalid'
    | 'InternalError';
  /** As `spec.containers[0].name`. */
  readonly field: string;
  /** Without the field: `Required value: name is required`. */
  readonly message: string;
}

/** All findings of a validation as one error. `resource` of `of` is the kind here, as in Kubernetes. */
export function invalid(of: GroupResource, name: string, errors: readonly FieldError[]): ApiError {
  const texts = [...new Set(errors.map(({ field, message }) => `${field}: ${message}`))];
  const list = texts.length === 1 ? texts.join('') : `[${texts.join(', ')}]`;
  const causes = errors.map(({ reason, message, field }) => ({ reason, message, field }));
  const message = `${qualified(of)} ${quote(name)} is invalid: ${list}`;
  return apiError(422, 'Invalid', message, { ...detailsOf(of, name), causes });
}

/** As Go's %q quotes names: JSON's form is the same for what names may hold. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
