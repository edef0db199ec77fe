/** Tokens for service accounts: POST to serviceaccounts/NAME/token (authentication.k8s.io/v1 TokenRequest). */
import type { BoundObjectReference, TokenRequest } from '../../../gen/kube-authentication-v1.js';
import type { Pod } from '../../../gen/kube-core-v1.js';
import { decodeObject } from '../../api/codec/decode.js';
import { splitApiVersion, type JsonObject, type KubeObject } from '../../api/object.js';
import { EMPTY_SET } from '../../api/patch/field-set.js';
import { trackUpdate } from '../../api/patch/managed-fields.js';
import { badRequest, conflict, invalid, notFound, type FieldError } from '../../api/status.js';
import type { Kind } from '../../api/kinds/kind.js';
import type { ClusterEnv } from '../../env.js';
import type { Admission } from '../admission/admission.js';
import type {
  ServiceAccountTokens,
  TokenObjects,
  TokenSubject,
} from '../auth/service-account-tokens.js';
import type { Exchange } from '../pipeline/exchange.js';
import type { SubresourceHandler } from '../registry/resource-step.js';
import { timeText } from '../registry/metadata.js';
import { parseWriteQuery } from '../registry/write-options.js';

const TOKEN_REQUEST = {
  group: 'authentication.k8s.io',
  version: 'v1',
  kind: 'TokenRequest',
  message: 'authentication.v1.TokenRequest',
};
const DEFAULT_SECONDS = 3600;
const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;

export interface TokenHandlerOptions {
  readonly env: ClusterEnv;
  readonly tokens: ServiceAccountTokens;
  readonly objects: TokenObjects;
  readonly admission: Admission;
}

/** Of `serviceaccounts/token`. Throws: ApiError 400, 404, 409 or 422. */
export function tokenHandler(options: TokenHandlerOptions): SubresourceHandler {
  return async (exchange, kind) => {
    return { type: 'value', status: 201, value: await issueToken(exchange, kind, options) };
  };
}

async function issueToken(
  exchange: Exchange,
  serviceAccounts: Kind,
  { env, tokens, objects, admission }: TokenHandlerOptions,
): Promise<object> {
  const { namespace, name } = exchange.info;
  const account = await objects.serviceAccount(namespace, name);
  if (account === undefined) throw notFound({ group: '', resource: 'serviceaccounts' }, name);
  const { request } = exchange;
  const contentType = request.header('content-type') ?? '';
  const { object: given } = decodeObject<TokenRequest>(
    await request.body(),
    contentType,
    TOKEN_REQUEST,
  );
  checkMetadata(given, namespace, name);
  await admission.mutate({
    operation: 'CREATE',
    kind: serviceAccounts,
    subresource: 'token',
    namespace,
    name,
    user: exchange.user,
    object: given,
    old: undefined,
  });
  const { boundObjectRef, audiences: wanted, expirationSeconds } = given.spec ?? {};
  // Null when it was left out: the field is one that Kubernetes always writes.
  const asked = wanted ?? [];
  const seconds = expirationSeconds ?? DEFAULT_SECONDS;
  checkSeconds(seconds);
  const bound = await bind(boundObjectRef, namespace, name, objects);
  const uid = uidOf(account);
  const subject: TokenSubject = { namespace, serviceAccount: { name, uid }, ...bound };
  const audiences = asked.length === 0 ? [tokens.issuer] : asked;
  const { token, expiresAtMs } = tokens.issue(subject, audiences, seconds);
  const nowText = timeText(env);
  const metadata = { name, namespace, uid, creationTimestamp: nowText };
  const spec = { audiences, expirationSeconds: seconds, boundObjectRef: boundObjectRef ?? null };
  const type = { kind: 'TokenRequest', apiVersion: 'authentication.k8s.io/v1' };
  const managedFields = trackUpdate({
    message: TOKEN_REQUEST.message,
    live: undefined,
    next: { ...type, metadata, spec } as unknown as JsonObject,
    resetFields: EMPTY_SET,
    manager: parseWriteQuery(request.query, request.header('user-agent'), 'CreateOptions').manager,
    apiVersion: type.apiVersion,
    subresource: 'token',
    nowText,
  });
  return {
    ...type,
    metadata: { ...metadata, managedFields },
    spec,
    status: {
      token,
      expirationTimestamp: `${new Date(expiresAtMs).toISOString().slice(0, 19)}Z`,
    },
  };
}

function checkMetadata({ metadata }: TokenRequest, namespace: string, name: string): void {
  const { name: givenName = '', namespace: givenNamespace = '' } = metadata ?? {};
  if (givenName !== '' && givenName !== name)
    throw badRequest(
      'the name of the token request does not match the name of the service account',
    );
  if (givenNamespace !== '' && givenNamespace !== namespace)
    throw badRequest(
      'the namespace of the provided object does not match the namespace sent on the request',
    );
}

function checkSeconds(seconds: number): void {
  const refuse = (why: string): never => {
    const error: FieldError = {
      reason: 'FieldValueInvalid',
      field: 'spec.expirationSeconds',
      message: `Invalid value: ${seconds}: ${why}`,
    };
    throw invalid({ group: 'authentication.k8s.io', resource: 'TokenRequest' }, '', [error]);
  };
  if (seconds < MIN_SECONDS) refuse('may not specify a duration less than 10 minutes');
  if (seconds > MAX_SECONDS) refuse('may not specify a duration larger than 2^32 seconds');
}

type Bound = Pick<TokenSubject, 'pod' | 'node' | 'secret'>;

/**
 * Objects with which the token lives and dies; none without `ref`. Throws: ApiError when they are
 * absent, or not the account's.
 */
async function bind(
  ref: BoundObjectReference | undefined,
  namespace: string,
  account: string,
  objects: TokenObjects,
): Promise<Bound> {
  if (ref === undefined || ref === null) return {};
  const { kind = '', apiVersion = '', name = '' } = ref;
  switch (`${apiVersion}/${kind}`) {
    case 'v1/Pod': {
      const pod = check('pods', ref, await objects.pod(namespace, name));
      const { serviceAccountName, nodeName = '' } = (pod as Partial<Pod>).spec ?? {};
      if (serviceAccountName !== account)
        throw badRequest(
          `cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with different serviceaccount name.`,
        );
      const node = nodeName === '' ? undefined : await objects.node(nodeName);
      return { pod: named(pod), node: node === undefined ? undefined : named(node) };
    }
    case 'v1/Node':
      return { node: named(check('nodes', ref, await objects.node(name))) };
    case 'v1/Secret':
      return { secret: named(check('secrets', ref, await objects.secret(namespace, name))) };
    default: {
      const { group, version } = splitApiVersion(apiVersion);
      throw badRequest(`cannot bind token to object of type ${group}/${version}, Kind=${kind}`);
    }
  }
}

function check(
  resource: string,
  { name = '', uid = '' }: BoundObjectReference,
  object: KubeObject | undefined,
): KubeObject {
  const of = { group: '', resource };
  if (object === undefined) throw notFound(of, name);
  if (uid !== '' && uid !== object.metadata.uid)
    throw conflict(
      of,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  return object;
}

function named(object: KubeObject): { name: string; uid: string } {
  return { name: object.metadata.name ?? '', uid: uidOf(object) };
}

function uidOf(object: KubeObject): string {
  return object.metadata.uid ?? '';
}
