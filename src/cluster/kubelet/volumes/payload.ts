/** Files of volumes that are made from objects: configMap, secret, downwardAPI, projected. */
import type {
  DownwardAPIVolumeFile,
  KeyToPath,
  Pod,
  Volume,
  VolumeProjection,
} from '../../../gen/kube-core-v1.js';
import type { PodAddresses } from '../downward.js';
import { podField, resourceField } from '../downward.js';
import type { ReferredObjects } from '../env.js';
import { findContainer } from '../pods/pod-spec.js';
import type { Payload, PayloadFile } from './atomic-writer.js';
import { checkPayloadPath } from './atomic-writer.js';
import type { Tokens } from './tokens.js';

export interface PayloadSources {
  readonly objects: ReferredObjects;
  readonly tokens: Tokens;
  readonly allocatable: () => Readonly<Record<string, string>>;
}

type Files = Map<string, PayloadFile>;
type Content = Readonly<Record<string, Uint8Array>>;

const DEFAULT_MODE = 0o644;

/** Undefined for volumes of other types. Rejects with an Error that a pod's events show. */
export async function payloadOf(
  sources: PayloadSources,
  pod: Pod,
  volume: Volume,
  addresses: PodAddresses,
): Promise<Payload | undefined> {
  const maker = new PayloadMaker(sources, pod, addresses);
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) {
    return maker.make([{ configMap }], configMap.defaultMode);
  }
  if (secret !== undefined) {
    const { secretName, ...rest } = secret;
    return maker.make([{ secret: { name: secretName, ...rest } }], secret.defaultMode);
  }
  if (downwardAPI !== undefined) return maker.make([{ downwardAPI }], downwardAPI.defaultMode);
  if (projected !== undefined) return maker.make(projected.sources ?? [], projected.defaultMode);
  return undefined;
}

class PayloadMaker {
  readonly #sources: PayloadSources;
  readonly #pod: Pod;
  readonly #addresses: PodAddresses;
  readonly #files: Files = new Map();
  #mode = DEFAULT_MODE;

  constructor(sources: PayloadSources, pod: Pod, addresses: PodAddresses) {
    this.#sources = sources;
    this.#pod = pod;
    this.#addresses = addresses;
  }

  async make(parts: readonly VolumeProjection[], mode: number | undefined): Promise<Payload> {
    this.#mode = mode ?? DEFAULT_MODE;
    for (const part of parts) await this.#add(part);
    return this.#files;
  }

  async #add(part: VolumeProjection): Promise<void> {
    const { configMap, secret, downwardAPI, serviceAccountToken } = part;
    if (configMap !== undefined) return this.#addConfigMap(configMap);
    if (secret !== undefined) return this.#addSecret(secret);
    if (downwardAPI !== undefined) return this.#addDownward(downwardAPI.items ?? []);
    if (serviceAccountToken !== undefined) {
      const token = await this.#sources.tokens.get(this.#pod, serviceAccountToken);
      return this.#put(serviceAccountToken.path, Buffer.from(token), undefined);
    }
    const [kind = 'nothing'] = Object.keys(part);
    throw new Error(`projection of ${kind} is not supported by this kubelet`);
  }

  async #addConfigMap(source: NonNullable<VolumeProjection['configMap']>): Promise<void> {
    const { name = '', optional = false, items } = source;
    const map = await this.#sources.objects.configMap(this.#namespace, name);
    if (map === undefined) {
      if (optional) return;
      throw new Error(`configmap "${name}" not found`);
    }
    const content: Record<string, Uint8Array> = {};
    for (const [key, text] of Object.entries(map.data ?? {})) content[key] = Buffer.from(text);
    for (const [key, text] of Object.entries(map.binaryData ?? {})) {
      content[key] = Buffer.from(text, 'base64');
    }
    this.#addContent(content, items, optional, 'configmap');
  }

  async #addSecret(source: NonNullable<VolumeProjection['secret']>): Promise<void> {
    const { name = '', optional = false, items } = source;
    const secret = await this.#sources.objects.secret(this.#namespace, name);
    if (secret === undefined) {
      if (optional) return;
      throw new Error(`secret "${name}" not found`);
    }
    const content: Record<string, Uint8Array> = {};
    for (const [key, text] of Object.entries(secret.data ?? {})) {
      content[key] = Buffer.from(text, 'base64');
    }
    this.#addContent(content, items, optional, 'secret');
  }

  /** All keys under their own names, or the listed ones where their items say. */
  #addContent(
    content: Content,
    items: readonly KeyToPath[] | undefined,
    isOptional: boolean,
    kind: string,
  ): void {
    if (items === undefined || items.length === 0) {
      for (const [key, data] of Object.entries(content)) this.#put(key, data, undefined);
      return;
    }
    for (const { key, path, mode } of items) {
      const data = content[key];
      if (data !== undefined) this.#put(path, data, mode);
      else if (!isOptional) throw new Error(`${kind} references non-existent config key: ${key}`);
    }
  }

  #addDownward(items: readonly DownwardAPIVolumeFile[]): void {
    for (const { path, fieldRef, resourceFieldRef, mode } of items) {
      let text = '';
      if (fieldRef !== undefined) text = podField(this.#pod, fieldRef.fieldPath, this.#addresses);
      else if (resourceFieldRef !== undefined) {
        const { containerName = '' } = resourceFieldRef;
        const container = findContainer(this.#pod, containerName);
        if (container === undefined) throw new Error(`container ${containerName} not found`);
        const allocatable = this.#sources.allocatable();
        text = resourceField(this.#pod, container, resourceFieldRef, allocatable);
      }
      this.#put(path, Buffer.from(text), mode);
    }
  }

  #put(path: string, data: Uint8Array, mode: number | undefined): void {
    checkPayloadPath(path);
    this.#files.set(path, { data, mode: mode ?? this.#mode });
  }

  get #namespace(): string {
    return this.#pod.metadata.namespace ?? '';
  }
}
