/**
 * The store as it was behind a recorded request: what others than the recorded client wrote, put
 * there just before the request that first shows it.
 */
import type { EtcdClient } from '../../../../src/client/client.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { KINDS } from '../../../../src/cluster/api/kinds/registry.js';
import { apiVersionOf, type JsonObject } from '../../../../src/cluster/api/object.js';
import { applyMergePatch } from '../../../../src/cluster/api/patch/merge.js';
import { resetFieldsOf, trackUpdate } from '../../../../src/cluster/api/patch/managed-fields.js';
import { served } from '../../../../src/cluster/apiserver/core.js';
import type { RequestInfo } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import { claimsOfService } from '../../../../src/cluster/apiserver/registry/service-allocator.js';
import type { Service } from '../../../../src/gen/kube-core-v1.js';
import { recorded, type RecordedStep } from '../recording.js';
import {
  infoOf,
  isChange,
  isSame,
  kindOf,
  metadataOf,
  metadataText,
  pathOf,
  revisionOf,
  shownBy,
  versionsIn,
  type Shown,
} from './shown.js';
import { isObject, type Translation } from './translation.js';

/** State of an object before the first request that is about it. */
export interface BaseState {
  /** Recording at whose end the object was like that. */
  readonly of?: string;
  /** A merge patch onto what is shown, or onto name and namespace. */
  readonly patch?: JsonObject;
  /** No request is about it, but it is there from the beginning. */
  readonly isThere?: boolean;
}

const encoder = new TextEncoder();
const CLAIM = encoder.encode('recorded');

export class World {
  private readonly store: EtcdClient;
  private readonly translation: Translation;
  private readonly steps: readonly RecordedStep[];
  private readonly states: Readonly<Record<string, BaseState>>;
  /** Whole objects by name, in the order in which the recording shows them. */
  private readonly versions: readonly Shown[];

  constructor(
    store: EtcdClient,
    translation: Translation,
    steps: readonly RecordedStep[],
    states: Readonly<Record<string, BaseState>>,
  ) {
    this.store = store;
    this.translation = translation;
    this.steps = steps;
    this.states = states;
    this.versions = versionsIn(steps);
  }

  async empty(): Promise<void> {
    await this.store.kv.deleteRange({ key: encoder.encode('/'), rangeEnd: encoder.encode('0') });
  }

  /** Creates the namespaces that the recording writes into, and what was there before it. */
  async begin(): Promise<void> {
    const missing = JSON.stringify(this.steps.map(({ response }) => response.body));
    for (const step of this.steps) {
      const { namespace, resource } = infoOf(step);
      const isWrite = step.request.method !== 'GET' && resource !== 'namespaces';
      if (!isWrite || namespace === '') continue;
      if (missing.includes(`namespaces \\"${namespace}\\" not found`)) continue;
      await this.putNew(served('', 'Namespace'), {
        metadata: { name: namespace, labels: { 'kubernetes.io/metadata.name': namespace } },
        spec: { finalizers: ['kubernetes'] },
        status: { phase: 'Active' },
      });
      if (resource === 'pods')
        await this.putNew(served('', 'ServiceAccount'), {
          metadata: { name: 'default', namespace },
        });
    }
    for (const [path, state] of Object.entries(this.states)) {
      if (state.isThere !== true) continue;
      const [resource, ...names] = path.split('/');
      const kind = KINDS.find((one) => one.resource === resource);
      if (kind === undefined) throw new Error(path);
      const [namespace, name] = names;
      const metadata = kind.isNamespaced ? { name, namespace } : { name: namespace };
      const base = this.baseOf(kind, { ...metadata }, state, undefined) ?? { metadata };
      this.learn(base, await this.putNew(kind, base));
    }
    await this.showPast();
    const reply = await this.store.kv.range({ key: encoder.encode('/'), countOnly: true });
    this.translation.begin = reply.header?.revision ?? 0;
  }

  /** Requires: steps come in order. */
  async before(step: RecordedStep): Promise<void> {
    const info = infoOf(step);
    const kind = kindOf(step);
    if (kind === undefined) return;
    if (step.request.method === 'GET' || info.verb === 'deletecollection')
      await this.showAll(shownBy(step));
    else if (info.name !== '' && step.response.status !== 404)
      await this.beforeWrite(step, kind, info);
  }

  /** Puts what the real server made of a write, where ours answered otherwise. */
  async correct(step: RecordedStep): Promise<void> {
    if (isChange(step) && step.request.method !== 'DELETE') await this.showAll(shownBy(step));
  }

  /** Shows the objects from before the first recorded change, in the order of their writes. */
  private async showPast(): Promise<void> {
    const at = this.steps.findIndex(isChange);
    const changes = at === -1 ? [] : this.steps.slice(at).filter(isChange).flatMap(shownBy);
    const firstChange = Math.min(...changes.map(({ object }) => revisionOf(object)));
    const shown = this.steps.flatMap((step, i) => {
      if (step.request.method !== 'GET') return [];
      if (at === -1 || i < at) return shownBy(step);
      const isKnown = firstChange !== Infinity;
      return shownBy(step).filter(({ object }) => isKnown && revisionOf(object) < firstChange);
    });
    await this.showAll(shown);
  }

  /** An object that leaves a watch by its labels is there at the same revision. */
  private async showAll(shown: readonly Shown[]): Promise<void> {
    const thereFirst = [...shown].sort((a, b) => Number(a.isGone) - Number(b.isGone));
    const inOrder = thereFirst.sort((a, b) => revisionOf(a.object) - revisionOf(b.object));
    for (const one of inOrder) await this.show(one);
  }

  private async show({ kind, object, isGone }: Shown): Promise<void> {
    const revision = metadataText(object, 'resourceVersion');
    if (revision === '' || this.translation.knowsWrite(revision)) return;
    if (isGone) {
      const reply = await this.store.kv.deleteRange({ key: keyOf(kind, metadataOf(object)) });
      this.translation.learnWrite(revision, reply.header?.revision ?? 0);
      return;
    }
    const version = this.versions.find(
      (one) =>
        one.kind === kind &&
        isSame(one.object, object) &&
        metadataOf(one.object)['resourceVersion'] === revision,
    )?.object;
    const state = this.states[pathOf(kind, metadataOf(object))]?.patch;
    const whole = version ?? (state === undefined ? undefined : applyMergePatch(object, state));
    if (whole === undefined) return;
    this.translation.learnWrite(revision, await this.put(kind, whole));
  }

  private async beforeWrite(step: RecordedStep, kind: Kind, info: RequestInfo): Promise<void> {
    const { name, namespace } = info;
    const metadata = {
      name: this.translation.text(name),
      ...(kind.isNamespaced ? { namespace } : {}),
    };
    const { count } = await this.store.kv.range({ key: keyOf(kind, metadata), countOnly: true });
    if (count !== 0) return;
    const state = this.states[pathOf(kind, metadata)];
    const { body } = step.request;
    const isApplied = step.response.status === 201 && step.request.method !== 'POST';
    const base = this.baseOf(kind, metadata, state, body);
    if (base === undefined || isApplied) return;
    const revision = await this.put(kind, base);
    const sent = isObject(body) ? metadataOf(body)['resourceVersion'] : undefined;
    if (typeof sent === 'string' && step.request.method === 'PUT' && step.response.status !== 409)
      this.translation.learnWrite(sent, revision);
    if (state?.of !== undefined) this.learn(base, revision);
  }

  private learn(object: JsonObject, revision: number): void {
    this.translation.learnWrite(metadataText(object, 'resourceVersion'), revision);
  }

  private baseOf(
    kind: Kind,
    metadata: JsonObject,
    state: BaseState | undefined,
    sent: unknown,
  ): JsonObject | undefined {
    const versions =
      state?.of === undefined ? this.versions : versionsIn(recorded(state.of)).reverse();
    const sentObject = isObject(sent) && metadataOf(sent)['uid'] !== undefined ? sent : undefined;
    const shown = versions.find((one) => one.kind === kind && isSame(one.object, { metadata }));
    const first = shown?.object ?? sentObject;
    if (first === undefined) {
      return state?.patch === undefined ? undefined : applyMergePatch({ metadata }, state.patch);
    }
    const base = structuredClone(first);
    const baseMetadata = metadataOf(base);
    delete baseMetadata['deletionTimestamp'];
    delete baseMetadata['deletionGracePeriodSeconds'];
    // A client sends back the owners that it saw.
    if (sentObject !== undefined)
      baseMetadata['managedFields'] = metadataOf(sentObject)['managedFields'];
    return applyMergePatch(base, state?.patch ?? {});
  }

  private putNew(kind: Kind, object: JsonObject): Promise<number> {
    const metadata = { uid: crypto.randomUUID(), ...metadataOf(object) };
    return this.put(kind, { ...object, metadata });
  }

  private async put(kind: Kind, object: JsonObject): Promise<number> {
    const { metadata: _m, kind: _k, apiVersion: _a, ...rest } = object;
    const { resourceVersion: _r, ...metadata } = metadataOf(object);
    const stored = {
      kind: kind.kind,
      apiVersion: apiVersionOf(kind.group, kind.version),
      metadata: { ...metadata, ...ownership(kind, object) },
      ...rest,
    };
    const claims = kind.kind === 'Service' ? claimsOfService(object as unknown as Service) : [];
    for (const claim of claims)
      await this.store.kv.put({ key: encoder.encode(`/registry/claims/${claim}`), value: CLAIM });
    const reply = await this.store.kv.put({
      key: keyOf(kind, metadata),
      value: encoder.encode(JSON.stringify(stored)),
    });
    return reply.header?.revision ?? 0;
  }
}

/** Managers without their fields, as most recordings have them, get all that they could own. */
function ownership(kind: Kind, object: JsonObject): JsonObject {
  const { managedFields } = metadataOf(object);
  if (!Array.isArray(managedFields)) return {};
  const { managedFields: _, ...others } = metadataOf(object);
  const apiVersion = apiVersionOf(kind.group, kind.version);
  const next = { ...object, kind: kind.kind, apiVersion, metadata: others };
  const entries = managedFields.map((entry) => {
    if (!isObject(entry) || entry['fieldsV1'] !== undefined) return entry;
    const subresource = entry['subresource'] === 'status' ? 'status' : '';
    const [own] =
      trackUpdate({
        message: kind.message,
        live: undefined,
        next,
        resetFields: resetFieldsOf(kind, subresource),
        manager: '',
        apiVersion,
        subresource,
        nowText: '',
      }) ?? [];
    return { ...entry, fieldsV1: (own?.fieldsV1 ?? {}) as JsonObject };
  });
  return { managedFields: entries };
}

function keyOf(kind: Kind, metadata: JsonObject): Uint8Array {
  const below = pathOf(kind, metadata).slice(kind.resource.length + 1);
  return encoder.encode(`/registry/${kind.storagePrefix}${below}`);
}
