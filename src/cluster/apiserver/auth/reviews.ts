/**
 * Questions about users that clients ask by creating an object which is never stored: who am I, may I,
 * may he, whose token is this (authentication.k8s.io/v1 and authorization.k8s.io/v1).
 */
import type {
  NonResourceAttributes,
  NonResourceRule,
  ResourceAttributes,
  ResourceRule,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
} from '../../../gen/kube-authorization-v1.js';
import type { TokenReview, UserInfo } from '../../../gen/kube-authentication-v1.js';
import { decodeObject } from '../../api/codec/decode.js';
import { badRequest, invalid, methodNotSupported, type FieldError } from '../../api/status.js';
import type { DiscoveredKind } from '../discovery/discovered-kind.js';
import type { Answer, Exchange, RequestInfo, Step, User } from '../pipeline/exchange.js';
import { timeText } from '../registry/metadata.js';
import type { ClusterEnv } from '../../env.js';
import type { Authorizer } from './authorizer.js';
import { EVERYTHING, rulesOf } from './rules.js';
import type { ServiceAccountTokens } from './service-account-tokens.js';

const AUTHENTICATION = 'authentication.k8s.io';
const AUTHORIZATION = 'authorization.k8s.io';

export interface ReviewOptions {
  readonly env: ClusterEnv;
  readonly authorize: Authorizer;
  readonly tokens: ServiceAccountTokens;
}

/** The resources, for discovery. */
export const REVIEW_KINDS: readonly DiscoveredKind[] = [
  review(AUTHENTICATION, 'SelfSubjectReview', false),
  review(AUTHENTICATION, 'TokenReview', false),
  review(AUTHORIZATION, 'LocalSubjectAccessReview', true),
  review(AUTHORIZATION, 'SelfSubjectAccessReview', false),
  review(AUTHORIZATION, 'SelfSubjectRulesReview', false),
  review(AUTHORIZATION, 'SubjectAccessReview', false),
];

function review(group: string, kind: string, isNamespaced: boolean): DiscoveredKind {
  const singular = kind.toLowerCase();
  return {
    group,
    version: 'v1',
    kind,
    resource: `${singular}s`,
    singular,
    isNamespaced,
    shortNames: [],
    categories: [],
    verbs: ['create'],
    storagePrefix: '',
    subresources: [],
  };
}

type Review = (
  exchange: Exchange,
  body: object,
  options: ReviewOptions,
) => Promise<object> | object;

const REVIEWS: Readonly<Record<string, Review>> = {
  SelfSubjectReview: ({ user }, _body, { env }) => ({
    metadata: { creationTimestamp: timeText(env) },
    status: { userInfo: userInfoOf(user) },
  }),
  TokenReview: (_exchange, body, { tokens }) => reviewToken(body as TokenReview, tokens),
  SelfSubjectAccessReview: ({ user }, body, { authorize }) => {
    const { spec } = body as SelfSubjectAccessReview;
    const info = attributesOf(spec);
    return { metadata: {}, spec, status: statusOf(authorize, user, info, spec) };
  },
  SubjectAccessReview: (_exchange, body, { authorize }) =>
    reviewSubject(body as SubjectAccessReview, authorize),
  LocalSubjectAccessReview: ({ info }, body, { authorize }) => {
    const given = body as SubjectAccessReview;
    const namespace = given.spec.resourceAttributes?.namespace ?? '';
    if (namespace !== info.namespace)
      throw invalidReview([
        valueError('spec.resourceAttributes.namespace', namespace, 'must match metadata.namespace'),
      ]);
    const { metadata, ...rest } = reviewSubject(given, authorize);
    return { metadata: { ...metadata, namespace }, ...rest };
  },
  SelfSubjectRulesReview: ({ user }, body) => {
    const namespace = (body as SelfSubjectRulesReview).spec.namespace ?? '';
    if (namespace === '') throw badRequest('no namespace on request');
    return { metadata: {}, spec: {}, status: rulesStatus(user, namespace) };
  },
};

/** Answers the reviews. Throws: ApiError 405 for other verbs of theirs. */
export function reviewsStep(options: ReviewOptions): Step {
  return async (exchange): Promise<Answer | undefined> => {
    const { info } = exchange;
    const kind = REVIEW_KINDS.find(
      ({ group, version, resource }) =>
        info.isResource &&
        group === info.group &&
        version === info.version &&
        resource === info.resource,
    );
    if (kind === undefined) return undefined;
    if (info.verb !== 'create' || info.name !== '' || (info.namespace !== '') !== kind.isNamespaced)
      throw methodNotSupported();
    const apiVersion = `${kind.group}/${kind.version}`;
    const { request } = exchange;
    const contentType = request.header('content-type') ?? '';
    const message = `${kind.group.split('.')[0] ?? ''}.v1.${kind.kind}`;
    const { object: body } = decodeObject(await request.body(), contentType, { ...kind, message });
    const made = await REVIEWS[kind.kind]?.(exchange, { spec: {}, ...body }, options);
    return { type: 'value', status: 201, value: { kind: kind.kind, apiVersion, ...made } };
  };
}

function userInfoOf({ name, uid, groups, extra }: User): UserInfo {
  return {
    username: name,
    ...(uid === '' ? {} : { uid }),
    groups: [...groups],
    ...(Object.keys(extra).length === 0 ? {} : { extra: extra as Record<string, string[]> }),
  };
}

async function reviewToken({ spec }: TokenReview, tokens: ServiceAccountTokens): Promise<object> {
  const audiences = spec.audiences ?? [];
  const isForUs = audiences.length === 0 || audiences.includes(tokens.issuer);
  const user = isForUs ? await tokens.authenticate(spec.token ?? '') : undefined;
  const status =
    user === undefined
      ? { user: {}, error: 'the token is not valid here' }
      : { authenticated: true, user: userInfoOf(user), audiences: [tokens.issuer] };
  return { metadata: {}, spec, status };
}

interface Asked {
  readonly resourceAttributes?: ResourceAttributes | undefined;
  readonly nonResourceAttributes?: NonResourceAttributes | undefined;
}

function reviewSubject(
  { spec }: SubjectAccessReview,
  authorize: Authorizer,
): { metadata: object; spec: object; status: object } {
  const { user: name = '', groups = [], uid = '', extra = {} } = spec;
  const errors = attributeErrors(spec);
  if (name === '' && groups.length === 0)
    errors.push(valueError('spec.user', '', 'at least one of user or group must be specified'));
  if (errors.length > 0) throw invalidReview(errors);
  const user = { name, uid, groups, extra };
  return { metadata: {}, spec, status: statusOf(authorize, user, attributesOf(spec), spec) };
}

function statusOf(authorize: Authorizer, user: User, info: RequestInfo, asked: Asked): object {
  const selector = asked.resourceAttributes?.fieldSelector?.rawSelector ?? '';
  const query = new URLSearchParams(selector === '' ? {} : { fieldSelector: selector });
  const decision = authorize({ user, info, query });
  if (decision.isAllowed) return { allowed: true };
  return { allowed: false, ...(decision.reason === '' ? {} : { reason: decision.reason }) };
}

/** Throws: ApiError 422. */
function attributesOf(asked: Asked): RequestInfo {
  const errors = attributeErrors(asked);
  if (errors.length > 0) throw invalidReview(errors);
  const { resourceAttributes: resource = {}, nonResourceAttributes: path = {} } = asked;
  return {
    isResource: asked.resourceAttributes !== undefined,
    verb: resource.verb ?? path.verb ?? '',
    group: resource.group ?? '',
    version: resource.version ?? '',
    namespace: resource.namespace ?? '',
    resource: resource.resource ?? '',
    subresource: resource.subresource ?? '',
    name: resource.name ?? '',
    path: path.path ?? '',
  };
}

function attributeErrors({ resourceAttributes, nonResourceAttributes }: Asked): FieldError[] {
  if (resourceAttributes !== undefined && nonResourceAttributes !== undefined) {
    const { path = '', verb = '' } = nonResourceAttributes;
    const why = 'cannot be specified in combination with resourceAttributes';
    return [valueError('spec.nonResourceAttributes', { Path: path, Verb: verb }, why)];
  }
  if (resourceAttributes !== undefined || nonResourceAttributes !== undefined) return [];
  const why = 'exactly one of nonResourceAttributes or resourceAttributes must be specified';
  return [valueError('spec.resourceAttributes', null, why)];
}

function valueError(field: string, value: unknown, why: string): FieldError {
  const message = `Invalid value: ${JSON.stringify(value)}: ${why}`;
  return { reason: 'FieldValueInvalid', field, message };
}

function invalidReview(errors: readonly FieldError[]): Error {
  return invalid({ group: AUTHORIZATION, resource: '' }, '', errors);
}

function rulesStatus(user: User, namespace: string): object {
  const resourceRules: ResourceRule[] = [];
  const nonResourceRules: NonResourceRule[] = [];
  const isAdmin = user.groups.includes('system:masters');
  for (const rule of [...(isAdmin ? EVERYTHING : []), ...rulesOf(user)]) {
    const verbs = [...rule.verbs];
    if ('paths' in rule) nonResourceRules.push({ verbs, nonResourceURLs: [...rule.paths] });
    else if (rule.namespaces?.includes(namespace) !== false)
      resourceRules.push({
        verbs,
        apiGroups: [...rule.groups],
        resources: [...rule.resources],
        ...(rule.names === undefined ? {} : { resourceNames: [...rule.names] }),
      });
  }
  return { resourceRules, nonResourceRules, incomplete: false };
}
