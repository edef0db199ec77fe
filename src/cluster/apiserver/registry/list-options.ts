/**
 * Query of a list or watch, checked as the real server does (k8s.io/apimachinery metav1.ListOptions
 * and its validation).
 */
import { badRequest, apiError, invalid, type FieldError } from '../../api/status.js';

export interface ListQuery {
  readonly labelSelector: string;
  readonly fieldSelector: string;
  readonly isWatch: boolean;
  readonly allowsBookmarks: boolean;
  readonly sendsInitialEvents: boolean;
  /** As given; empty when absent. */
  readonly resourceVersion: string;
  readonly match: '' | 'Exact' | 'NotOlderThan';
  /** 0: none. */
  readonly timeoutSeconds: number;
  /** 0: none. */
  readonly limit: number;
  readonly continue: string;
}

const OF = { group: 'meta.k8s.io', resource: 'ListOptions' };
const FIELD = 'resourceVersionMatch';

/** Throws: ApiError 400 or 422. `isWatch` is said by the path too (/api/v1/watch/...). */
export function parseListQuery(query: URLSearchParams, isWatch: boolean): ListQuery {
  const watch = isWatch || boolOf(query.get('watch'));
  const initial = query.get('sendInitialEvents');
  const parsed = {
    labelSelector: query.get('labelSelector') ?? '',
    fieldSelector: query.get('fieldSelector') ?? '',
    isWatch: watch,
    allowsBookmarks: boolOf(query.get('allowWatchBookmarks')),
    sendsInitialEvents: boolOf(initial),
    resourceVersion: query.get('resourceVersion') ?? '',
    match: query.get('resourceVersionMatch') ?? '',
    timeoutSeconds: integerOf(query.get('timeoutSeconds')),
    // A negative limit means none.
    limit: Math.max(0, integerOf(query.get('limit'))),
    continue: query.get('continue') ?? '',
  };
  const errors = watch
    ? watchErrors(parsed.match, parsed.continue, initial !== null)
    : listErrors(parsed.match, parsed.resourceVersion, parsed.continue, initial !== null);
  if (errors.length > 0) throw invalid(OF, '', errors);
  return { ...parsed, match: parsed.match as ListQuery['match'] };
}

function watchErrors(match: string, token: string, hasInitial: boolean): FieldError[] {
  const errors: FieldError[] = [];
  if (hasInitial && match !== 'NotOlderThan') {
    errors.push(
      forbidden(FIELD, 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'),
    );
  }
  if (match === '' && token === '') return errors;
  if (match !== '' && !hasInitial) {
    errors.push(
      forbidden(
        FIELD,
        'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
      ),
    );
  }
  if (match !== '' && match !== 'NotOlderThan') errors.push(notSupported(match, ['NotOlderThan']));
  if (token !== '') {
    errors.push(forbidden(FIELD, 'resourceVersionMatch is forbidden when continue is provided'));
  }
  return errors;
}

function listErrors(
  match: string,
  resourceVersion: string,
  token: string,
  hasInitial: boolean,
): FieldError[] {
  if (hasInitial) {
    return [forbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list')];
  }
  if (match === '') return [];
  const errors: FieldError[] = [];
  if (resourceVersion === '') {
    errors.push(
      forbidden(FIELD, 'resourceVersionMatch is forbidden unless resourceVersion is provided'),
    );
  }
  if (token !== '') {
    errors.push(forbidden(FIELD, 'resourceVersionMatch is forbidden when continue is provided'));
  }
  if (match !== 'Exact' && match !== 'NotOlderThan') {
    errors.push(notSupported(match, ['Exact', 'NotOlderThan', '']));
  }
  if (match === 'Exact' && resourceVersion === '0') {
    errors.push(
      forbidden(FIELD, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
    );
  }
  return errors;
}

function forbidden(field: string, why: string): FieldError {
  return { reason: 'FieldValueForbidden', field, message: `Forbidden: ${why}` };
}

function notSupported(value: string, supported: readonly string[]): FieldError {
  const list = supported.map((one) => JSON.stringify(one)).join(', ');
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { reason: 'FieldValueNotSupported', field: FIELD, message };
}

/** Every value but these counts as true, as in Kubernetes. */
function boolOf(text: string | null): boolean {
  return text !== null && text !== '0' && text.toLowerCase() !== 'false';
}

function integerOf(text: string | null): number {
  if (text === null || text === '') return 0;
  if (!/^[-+]?\d{1,18}$/.test(text)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return Number(text);
}

/** A resourceVersion as a revision; undefined when it is not given. Throws: the error of `refuse`. */
export function parseRevision(
  text: string,
  refuse: (message: string) => Error,
): number | undefined {
  if (text === '') return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const quoted = JSON.stringify(text);
  throw refuse(
    `resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`,
  );
}

/** As the real server refuses a wrong resourceVersion on get and watch. */
export const refuseRevision = (message: string): Error => apiError(500, '', message);
/** ... and on list. */
export const refuseListRevision = (message: string): Error =>
  badRequest(`invalid resource version: ${message}`);
