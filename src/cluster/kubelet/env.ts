/** Variables of containers: services, whole ConfigMaps and Secrets, single values. */
import type {
  ConfigMap,
  Container,
  EnvVar,
  EnvVarSource,
  Pod,
  Secret,
  Service,
} from '../../gen/kube-core-v1.js';
import type { PodAddresses } from './downward.js';
import { podField, resourceField } from './downward.js';
import { StartError } from './pods/start-error.js';

/** Objects that pods refer to. Both reject with an Error whose text a pod's events show. */
export interface ReferredObjects {
  /** Undefined when there is none of that name. */
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
}

export interface EnvInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly addresses: PodAddresses;
  readonly allocatable: Readonly<Record<string, string>>;
  /** All services of the pod's namespace and of `default`. */
  readonly services: readonly Service[];
  readonly objects: ReferredObjects;
}

export interface EnvEntry {
  readonly name: string;
  readonly value: string;
}

/** Rejects with StartError `CreateContainerConfigError` when something needed is missing. */
export async function containerEnv(input: EnvInput): Promise<EnvEntry[]> {
  const { container } = input;
  const services = serviceVariables(input.pod, input.services);
  const values = new Map<string, string>();
  for (const source of container.envFrom ?? []) {
    const prefix = source.prefix ?? '';
    const data = {
      ...(await wholeConfigMap(input, source)),
      ...(await wholeSecret(input, source)),
    };
    for (const [key, value] of Object.entries(data)) values.set(`${prefix}${key}`, value);
  }
  for (const variable of container.env ?? []) {
    const value = await valueOf(input, variable, (name) => values.get(name) ?? services.get(name));
    if (value !== undefined) values.set(variable.name, value);
  }
  for (const [name, value] of services) if (!values.has(name)) values.set(name, value);
  return [...values].map(([name, value]) => ({ name, value }));
}

type Lookup = (name: string) => string | undefined;

/**
 * `$(NAME)` replaced where NAME is known; `$$` is a dollar sign, so that `$$(NAME)` stays as
 * `$(NAME)`.
 */
export function expand(text: string, lookup: Lookup): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole, name: string | undefined) => {
    if (name === undefined) return '$';
    return lookup(name) ?? whole;
  });
}

type FromSource = NonNullable<Container['envFrom']>[number];

async function wholeConfigMap(
  { pod, objects }: EnvInput,
  { configMapRef }: FromSource,
): Promise<Record<string, string>> {
  if (configMapRef === undefined) return {};
  const { name = '', optional = false } = configMapRef;
  const map = await objects.configMap(pod.metadata.namespace ?? '', name);
  if (map === undefined && !optional) throw configError(`configmap "${name}" not found`);
  return map?.data ?? {};
}

async function wholeSecret(
  { pod, objects }: EnvInput,
  { secretRef }: FromSource,
): Promise<Record<string, string>> {
  if (secretRef === undefined) return {};
  const { name = '', optional = false } = secretRef;
  const secret = await objects.secret(pod.metadata.namespace ?? '', name);
  if (secret === undefined && !optional) throw configError(`secret "${name}" not found`);
  const decoded: Record<string, string> = {};
  for (const [key, value] of Object.entries(secret?.data ?? {})) decoded[key] = fromBase64(value);
  return decoded;
}

/** Undefined for an optional value that is not there. */
async function valueOf(
  input: EnvInput,
  variable: EnvVar,
  lookup: Lookup,
): Promise<string | undefined> {
  const { valueFrom } = variable;
  if (valueFrom === undefined) return expand(variable.value ?? '', lookup);
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  try {
    if (fieldRef !== undefined) return podField(input.pod, fieldRef.fieldPath, input.addresses);
    if (resourceFieldRef !== undefined) {
      return resourceField(input.pod, input.container, resourceFieldRef, input.allocatable);
    }
  } catch (error) {
    throw configError(error instanceof Error ? error.message : String(error));
  }
  if (configMapKeyRef !== undefined) return configMapValue(input, configMapKeyRef);
  if (secretKeyRef !== undefined) return secretValue(input, secretKeyRef);
  throw configError(`variable ${variable.name} has a source that this kubelet does not support`);
}

async function configMapValue(
  { pod, objects }: EnvInput,
  { name = '', key, optional = false }: NonNullable<EnvVarSource['configMapKeyRef']>,
): Promise<string | undefined> {
  const { namespace = '' } = pod.metadata;
  const map = await objects.configMap(namespace, name);
  const value = map?.data?.[key];
  if (value !== undefined || optional) return value;
  if (map === undefined) throw configError(`configmap "${name}" not found`);
  throw configError(`couldn't find key ${key} in ConfigMap ${namespace}/${name}`);
}

async function secretValue(
  { pod, objects }: EnvInput,
  { name = '', key, optional = false }: NonNullable<EnvVarSource['secretKeyRef']>,
): Promise<string | undefined> {
  const { namespace = '' } = pod.metadata;
  const secret = await objects.secret(namespace, name);
  const value = secret?.data?.[key];
  if (value !== undefined) return fromBase64(value);
  if (optional) return undefined;
  if (secret === undefined) throw configError(`secret "${name}" not found`);
  throw configError(`couldn't find key ${key} in Secret ${namespace}/${name}`);
}

function configError(message: string): StartError {
  return new StartError('CreateContainerConfigError', message);
}

function fromBase64(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8');
}

/**
 * Variables with addresses of services: those of the pod's namespace unless it wants no links, and
 * the API server's always.
 */
function serviceVariables(pod: Pod, services: readonly Service[]): Map<string, string> {
  const values = new Map<string, string>();
  const isMaster = ({ metadata }: Service): boolean =>
    metadata.namespace === 'default' && metadata.name === 'kubernetes';
  const chosen = services.filter((service) => {
    if (isMaster(service)) return true;
    if (pod.spec.enableServiceLinks === false) return false;
    return service.metadata.namespace === pod.metadata.namespace;
  });
  for (const service of chosen) addService(values, service);
  return values;
}

function addService(values: Map<string, string>, service: Service): void {
  const ip = service.spec.clusterIP ?? '';
  const ports = service.spec.ports ?? [];
  const [first] = ports;
  if (ip === '' || ip === 'None' || first === undefined) return;
  const prefix = variableName(service.metadata.name ?? '');
  values.set(`${prefix}_SERVICE_HOST`, ip);
  values.set(`${prefix}_SERVICE_PORT`, String(first.port));
  const host = ip.includes(':') ? `[${ip}]` : ip;
  for (const { name = '', port } of ports) {
    if (name !== '') values.set(`${prefix}_SERVICE_PORT_${variableName(name)}`, String(port));
  }
  for (const [index, { port, protocol = 'TCP' }] of ports.entries()) {
    const scheme = protocol.toLowerCase();
    const url = `${scheme}://${host}:${port}`;
    if (index === 0) values.set(`${prefix}_PORT`, url);
    const one = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
    values.set(one, url);
    values.set(`${one}_PROTO`, scheme);
    values.set(`${one}_PORT`, String(port));
    values.set(`${one}_ADDR`, ip);
  }
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}
