/** Keys that a Secret must have by its type. */
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import type { Secret } from '../../../../gen/kube-core-v1.js';
import { JsonSyntaxError, readJson } from '../../codec/json-reader.js';
import type { JsonValue } from '../../object.js';
import type { FieldError } from '../../status.js';
import {
  fieldInvalid,
  fieldProblems,
  fieldRequired,
  fieldTooLong,
} from '../../validation/field-error.js';
import { configKeyProblems } from '../../validation/names.js';
import { base64Bytes, MAX_DATA_BYTES } from './data-maps.js';

const SERVICE_ACCOUNT_NAME = 'kubernetes.io/service-account.name';

type TypeRule = (secret: Secret, data: Readonly<Record<string, string>>) => FieldError[];

const TYPE_RULES: Readonly<Record<string, TypeRule>> = {
  'kubernetes.io/service-account-token': ({ metadata }) =>
    (metadata.annotations?.[SERVICE_ACCOUNT_NAME] ?? '') === ''
      ? [fieldRequired(`metadata.annotations[${SERVICE_ACCOUNT_NAME}]`)]
      : [],
  'kubernetes.io/dockercfg': (_, data) => validateJsonKey(data, '.dockercfg'),
  'kubernetes.io/dockerconfigjson': (_, data) => validateJsonKey(data, '.dockerconfigjson'),
  // One of the two is enough.
  'kubernetes.io/basic-auth': (_, data) =>
    Object.hasOwn(data, 'username') || Object.hasOwn(data, 'password')
      ? []
      : requireKeys(data, ['username', 'password']),
  'kubernetes.io/ssh-auth': (_, data) =>
    (data['ssh-privatekey'] ?? '') === '' ? [fieldRequired('data[ssh-privatekey]')] : [],
  'kubernetes.io/tls': (_, data) => requireKeys(data, ['tls.crt', 'tls.key']),
};

export function validateSecret(object: Secret): FieldError[] {
  const data = object.data ?? {};
  const bytes = Object.values(data).reduce((sum, text) => sum + base64Bytes(text), 0);
  const byType = TYPE_RULES[object.type ?? ''];
  return [
    ...Object.keys(data).flatMap((key) =>
      fieldProblems(`data[${key}]`, key, configKeyProblems(key)),
    ),
    ...(bytes > MAX_DATA_BYTES ? [fieldTooLong('data', MAX_DATA_BYTES)] : []),
    ...(byType === undefined ? [] : byType(object, data)),
  ];
}

function requireKeys(
  data: Readonly<Record<string, string>>,
  keys: readonly string[],
): FieldError[] {
  return keys
    .filter((key) => !Object.hasOwn(data, key))
    .map((key) => fieldRequired(`data[${key}]`));
}

function validateJsonKey(data: Readonly<Record<string, string>>, key: string): FieldError[] {
  const value = data[key];
  if (value === undefined) return [fieldRequired(`data[${key}]`)];
  const problem = jsonObjectProblem(Buffer.from(value, 'base64').toString());
  if (problem === undefined) return [];
  return [fieldInvalid(`data[${key}]`, '<secret contents redacted>', problem)];
}

const GO_TYPES: Readonly<Record<string, string>> = {
  boolean: 'bool',
  number: 'number',
  string: 'string',
};

/** Error of Go's encoding/json for a text that should be an object or null; undefined for none. */
function jsonObjectProblem(text: string): string | undefined {
  let value: JsonValue;
  try {
    ({ value } = readJson(text));
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error.message;
    throw error;
  }
  const type = Array.isArray(value) ? 'array' : GO_TYPES[typeof value];
  if (type === undefined) return undefined;
  return `json: cannot unmarshal ${type} into Go value of type map[string]interface {}`;
}

/** A TLS secret whose key does not belong to its certificate is stored, with a warning. */
export function tlsWarnings({ type, data }: Secret): string[] {
  if (type !== 'kubernetes.io/tls') return [];
  const bytes = (key: string): Buffer => Buffer.from(data?.[key] ?? '', 'base64');
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(bytes('tls.crt'));
  } catch {
    return ['tls: failed to find any PEM data in certificate input'];
  }
  try {
    const key = createPrivateKey(bytes('tls.key'));
    if (createPublicKey(key).equals(certificate.publicKey)) return [];
    return ['tls: private key does not match public key'];
  } catch {
    return ['tls: failed to find any PEM data in key input'];
  }
}
