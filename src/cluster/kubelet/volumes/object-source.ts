/**
 * ConfigMaps and Secrets that pods of this node refer to, and no others: each is followed by a watch
 * of its own for as long as a pod needs it.
 */
import type { Logger } from '../../../base/observe/logger.js';
import type { ConfigMap, Container, Pod, Secret } from '../../../gen/kube-core-v1.js';
import type { ResourceType } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import type { KubeClient } from '../../client/client.js';
import { Informer } from '../../client/informer.js';
import type { ClusterEnv } from '../../env.js';
import { sleep } from '../../env.js';
import type { ReferredObjects } from '../env.js';
import { allContainers, uidOf } from '../pods/pod-spec.js';
import { CONFIG_MAPS, SECRETS } from '../../client/resource-types.js';

/** Longest wait for the first state of an object. */
const FIRST_STATE_MS = 10_000;

export interface ObjectSourceOptions {
  readonly env: ClusterEnv;
  readonly log: Logger;
  readonly client: KubeClient;
  /** Called for each pod that refers to an object that has changed. */
  readonly onChange: (uid: string) => void;
}

interface Followed {
  readonly informer: Informer<KubeObject>;
  readonly users: Set<string>;
}

export class ObjectSource implements ReferredObjects {
  readonly #options: ObjectSourceOptions;
  /** By `configmaps/namespace/name`. */
  readonly #followed = new Map<string, Followed>();

  constructor(options: ObjectSourceOptions) {
    this.#options = options;
  }

  /** Follows what the pod refers to. */
  retain(pod: Pod): void {
    const uid = uidOf(pod);
    const namespace = pod.metadata.namespace ?? '';
    const { configMaps, secrets } = referencesOf(pod);
    const keys = new Set<string>();
    for (const name of configMaps) keys.add(this.#follow(CONFIG_MAPS, namespace, name, uid));
    for (const name of secrets) keys.add(this.#follow(SECRETS, namespace, name, uid));
    this.#releaseAll(uid, keys);
  }

  release(uid: string): void {
    this.#releaseAll(uid, new Set());
  }

  async stop(): Promise<void> {
    const all = [...this.#followed.values()];
    this.#followed.clear();
    await Promise.all(all.map(({ informer }) => informer.stop()));
  }

  configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    return this.#get(CONFIG_MAPS, namespace, name);
  }

  secret(namespace: string, name: string): Promise<Secret | undefined> {
    return this.#get(SECRETS, namespace, name);
  }

  async #get<T extends KubeObject>(
    type: ResourceType<T>,
    namespace: string,
    name: string,
  ): Promise<T | undefined> {
    const followed = this.#followed.get(keyOf(type, namespace, name));
    const what = `failed to sync ${type.kind.toLowerCase()} cache`;
    if (followed === undefined)
      throw new Error(`${what}: object "${namespace}"/"${name}" not registered`);
    const { informer } = followed;
    if (!informer.hasSynced) {
      const late = new AbortController();
      await Promise.race([
        informer.synced,
        sleep(this.#options.env, FIRST_STATE_MS, late.signal),
      ]).finally(() => late.abort());
    }
    if (!informer.hasSynced) throw new Error(`${what}: timed out waiting for the condition`);
    return informer.get(namespace, name) as T | undefined;
  }

  #follow(type: ResourceType, namespace: string, name: string, uid: string): string {
    const key = keyOf(type, namespace, name);
    const known = this.#followed.get(key);
    if (known !== undefined) {
      known.users.add(uid);
      return key;
    }
    const { env, log, client, onChange } = this.#options;
    const informer = new Informer<KubeObject>({
      env,
      log,
      client: client.resource(type, namespace),
      fieldSelector: `metadata.name=${name}`,
    });
    const users = new Set([uid]);
    const tell = (): void => users.forEach(onChange);
    informer.addHandler({ onAdd: tell, onUpdate: tell, onDelete: tell });
    this.#followed.set(key, { informer, users });
    informer.start();
    return key;
  }

  #releaseAll(uid: string, except: ReadonlySet<string>): void {
    for (const [key, { informer, users }] of this.#followed) {
      if (except.has(key) || !users.delete(uid) || users.size > 0) continue;
      this.#followed.delete(key);
      void informer.stop();
    }
  }
}

function keyOf({ resource }: ResourceType, namespace: string, name: string): string {
  return `${resource}/${namespace}/${name}`;
}

function referencesOf(pod: Pod): { configMaps: Set<string>; secrets: Set<string> } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  const note = (names: Set<string>, name: string | undefined): void => {
    if (name !== undefined && name !== '') names.add(name);
  };
  for (const { configMap, secret, projected } of pod.spec.volumes ?? []) {
    note(configMaps, configMap?.name);
    note(secrets, secret?.secretName);
    for (const source of projected?.sources ?? []) {
      note(configMaps, source.configMap?.name);
      note(secrets, source.secret?.name);
    }
  }
  for (const container of allContainers(pod))
    noteVariables(container, (kind, name) => {
      note(kind === 'configMap' ? configMaps : secrets, name);
    });
  return { configMaps, secrets };
}

function noteVariables(
  { envFrom = [], env = [] }: Container,
  note: (kind: 'configMap' | 'secret', name: string | undefined) => void,
): void {
  for (const { configMapRef, secretRef } of envFrom) {
    note('configMap', configMapRef?.name);
    note('secret', secretRef?.name);
  }
  for (const { valueFrom } of env) {
    note('configMap', valueFrom?.configMapKeyRef?.name);
    note('secret', valueFrom?.secretKeyRef?.name);
  }
}
