import { readdirSync } from 'node:fs';
import { expect } from 'chai';
import type { ManagedFieldsEntry } from '../../../../src/gen/kube-meta-v1.js';
import { normalize } from '../../../../src/cluster/api/codec/normalize.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import { findKind, findResource } from '../../../../src/cluster/api/kinds/registry.js';
import {
  deepFreeze,
  splitApiVersion,
  type JsonObject,
  type KubeObject,
} from '../../../../src/cluster/api/object.js';
import { managerName } from '../../../../src/cluster/api/patch/field-manager.js';
import { EMPTY_SET, fieldSetOf } from '../../../../src/cluster/api/patch/field-set.js';
import {
  resetFieldsOf,
  trackUpdate,
  type Update,
} from '../../../../src/cluster/api/patch/managed-fields.js';
import { applyMergePatch } from '../../../../src/cluster/api/patch/merge.js';
import { schemaOf } from '../../../../src/cluster/api/schema/table.js';
import { recordedSteps, targetOf, type RecordedStep } from '../kinds/recorded-writes.js';

const NOW = '2026-11-28T12:00:00Z';
const EARLIER = '2026-11-27T12:00:00Z';
const CONFIG_MAP = { apiVersion: 'v1', kind: 'ConfigMap' };

describe('managed fields', () => {
  describe('as recorded', () => {
    const folder = new URL('../../../golden/defaults/', import.meta.url);
    const files = readdirSync(folder).filter((file) => /_?v1\.\w+\.json$/.test(file));
    for (const file of [...files.map((name) => `defaults/${name}`), 'apply/ownership.json'])
      it(file, () => {
        expect(replay(recordedSteps(file))).to.be.greaterThan(1);
      });
  });

  describe('of a config map', () => {
    const made = written(undefined, { data: { a: '1', b: '1' } }, { manager: 'alice' });

    it('belong to who made it', () => {
      expect(entriesOf(made)).to.deep.equal([
        {
          manager: 'alice',
          operation: 'Update',
          apiVersion: 'v1',
          time: NOW,
          fieldsType: 'FieldsV1',
          fieldsV1: { 'f:data': { '.': {}, 'f:a': {}, 'f:b': {} } },
        },
      ]);
    });

    it('pass to who changes them, and vanish when removed', () => {
      const changed = written(made, { data: { a: '2', b: '1' } }, { manager: 'bob' });
      expect(owned(changed)).to.deep.equal({
        alice: { 'f:data': { '.': {}, 'f:b': {} } },
        bob: { 'f:data': { 'f:a': {} } },
      });
      const removed = written(changed, { data: { a: '2' } }, { manager: 'carol' });
      expect(owned(removed)).to.deep.equal({
        alice: { 'f:data': {} },
        bob: { 'f:data': { 'f:a': {} } },
      });
      const emptied = written(removed, {}, { manager: 'carol' });
      expect(entriesOf(emptied)).to.equal(undefined);
    });

    it('stay the same list when a write changes nothing', () => {
      const again = written(made, { data: { a: '1', b: '1' } }, { manager: 'bob' });
      expect(entriesOf(again)).to.equal(entriesOf(made));
      const sent = structuredClone(entriesOf(made) ?? []).map((entry) => ({
        ...entry,
        time: EARLIER,
      }));
      const withTime = written(made, { data: { a: '1', b: '1' } }, { manager: 'bob' }, sent);
      expect(entriesOf(withTime)).to.equal(entriesOf(made));
    });

    it('keep the entries of others as they are, with their times', () => {
      const changed = written(
        made,
        { data: { a: '1', b: '1', c: '1' } },
        { manager: 'bob', nowText: '2026-11-29T00:00:00Z' },
      );
      expect(entriesOf(changed)?.[0]).to.equal(entriesOf(made)?.[0]);
      const own = written(changed, { data: { a: '1', b: '1', c: '2' } }, { manager: 'bob' });
      expect(entriesOf(own)?.map(({ manager, time }) => [manager, time])).to.deep.equal([
        ['alice', NOW],
        ['bob', NOW],
      ]);
    });

    it('are kept apart by subresource', () => {
      const changed = written(
        made,
        { data: { a: '2', b: '1' } },
        { manager: 'alice', subresource: 'status' },
      );
      expect(
        entriesOf(changed)?.map(({ subresource, fieldsV1 }) => [subresource, fieldsV1]),
      ).to.deep.equal([
        [undefined, { 'f:data': { '.': {}, 'f:b': {} } }],
        ['status', { 'f:data': { 'f:a': {} } }],
      ]);
    });

    it('belong to "unknown" when nobody has a name', () => {
      expect(owned(written(undefined, { data: { a: '1' } }, { manager: '' }))).to.have.keys(
        'unknown',
      );
    });

    it('leave out what the endpoint resets', () => {
      const resetFields = fieldSetOf(['f:data']);
      const changed = written(made, { data: {}, immutable: true }, { manager: 'bob', resetFields });
      expect(owned(changed)).to.deep.equal({
        alice: { 'f:data': { '.': {}, 'f:a': {}, 'f:b': {} } },
        bob: { 'f:immutable': {} },
      });
    });

    it('are never metadata that the server decides', () => {
      const metadata = { uid: 'u', generation: 1, resourceVersion: '5', name: 'n', labels: {} };
      const object = { ...CONFIG_MAP, metadata };
      const entries = trackUpdate({ ...update(undefined, object), resetFields: EMPTY_SET });
      expect(entries?.map(({ fieldsV1 }) => fieldsV1)).to.deep.equal([
        { 'f:metadata': { 'f:labels': {} } },
      ]);
    });
  });

  describe('that a client sends', () => {
    const made = written(undefined, { data: { a: '1' } }, { manager: 'alice' });
    const data = { data: { a: '1', b: '1' } };
    const entry = {
      manager: 'zoe',
      operation: 'Apply',
      apiVersion: 'v1',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:data': { 'f:a': {}, '.': {} } },
    };

    it('replace those of the object, in the form of the server', () => {
      const changed = written(made, data, { manager: 'bob' }, [entry]);
      expect(owned(changed)).to.deep.equal({
        zoe: { 'f:data': { '.': {}, 'f:a': {} } },
        bob: { 'f:data': { 'f:b': {} } },
      });
      expect(JSON.stringify(entriesOf(changed)?.[0]?.fieldsV1)).to.equal(
        '{"f:data":{".":{},"f:a":{}}}',
      );
    });

    it('are one for an applier, whatever the versions', () => {
      const later = { ...entry, apiVersion: 'v0' };
      const changed = written(made, data, { manager: 'bob' }, [entry, later]);
      expect(owned(changed)).to.have.keys('bob');
    });

    it('do not count through a subresource', () => {
      const changed = written(made, data, { manager: 'bob', subresource: 'status' }, [entry]);
      expect(owned(changed)).to.have.keys('alice', 'bob');
    });

    for (const reset of [[], [{}]])
      it(`end the tracking when they are ${JSON.stringify(reset)}`, () => {
        const untracked = written(made, data, { manager: 'bob' }, reset);
        expect(entriesOf(untracked)).to.equal(undefined);
        const later = written(untracked, { data: { c: '1' } }, { manager: 'bob' });
        expect(entriesOf(later)).to.equal(undefined);
        expect(owned(written(undefined, data, { manager: 'bob' }, reset))).to.have.keys('bob');
      });

    const WRONG: readonly ManagedFieldsEntry[] = [
      { ...entry, operation: 'Delete' },
      { ...entry, apiVersion: '' },
      { ...entry, fieldsType: 'FieldsV2' },
      { ...entry, fieldsType: undefined },
      { ...entry, fieldsV1: { a: {} } },
    ];
    for (const wrong of WRONG)
      it(`are ignored when they are not valid: ${JSON.stringify(wrong)}`, () => {
        expect(owned(written(made, data, { manager: 'bob' }, [wrong]))).to.have.keys(
          'alice',
          'bob',
        );
      });
  });

  it('have ten updaters at most', () => {
    let object: JsonObject | undefined;
    const data: Record<string, string> = {};
    for (let at = 0; at < 13; at++) {
      data[`k${at}`] = 'v';
      const nowText = `2026-11-28T12:00:${10 + at}Z`;
      object = written(object, { data: { ...data } }, { manager: `m${at}`, nowText });
    }
    const entries = entriesOf(object ?? {}) ?? [];
    expect(entries.map(({ manager }) => manager)).to.deep.equal([
      'ancient-changes',
      ...[4, 5, 6, 7, 8, 9, 10, 11, 12].map((at) => `m${at}`),
    ]);
    expect(entries[0]?.fieldsV1).to.deep.equal({
      'f:data': { '.': {}, 'f:k0': {}, 'f:k1': {}, 'f:k2': {}, 'f:k3': {} },
    });
    expect(entries[0]?.time).to.equal('2026-11-28T12:00:13Z');
  });

  it('stand in the order of operation, time, manager, version and subresource', () => {
    const entry = (
      operation: string,
      time: string | undefined,
      manager: string,
      subresource = '',
    ) => ({
      manager,
      operation,
      apiVersion: 'v1',
      ...(time === undefined ? {} : { time }),
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:data': { 'f:a': {} } },
      ...(subresource === '' ? {} : { subresource }),
    });
    const sorted = [
      entry('Apply', NOW, 'z'),
      entry('Update', undefined, 'z'),
      entry('Update', EARLIER, 'a', 'status'),
      entry('Update', EARLIER, 'b'),
      entry('Update', EARLIER, 'b', 'status'),
      entry('Update', NOW, 'a'),
    ];
    const live = { ...CONFIG_MAP, metadata: { managedFields: [] as ManagedFieldsEntry[] } };
    const sent = [...sorted].reverse();
    const next = { ...CONFIG_MAP, metadata: { managedFields: sent } };
    expect(trackUpdate(update(live, next))).to.deep.equal(sorted);
  });

  describe('of several versions', () => {
    const fieldsV1 = { 'f:note': {}, 'f:reason': {} };
    const old = { manager: 'old', operation: 'Update', fieldsType: 'FieldsV1', fieldsV1 };
    const live = {
      message: 'x',
      metadata: { managedFields: [{ ...old, apiVersion: 'events.k8s.io/v1' }] },
    };
    const next = { ...live, message: 'y' };
    const event = { ...update(live, next), message: 'core.v1.Event' };

    it('are compared in their own', () => {
      const entries = trackUpdate({
        ...event,
        inVersion: (apiVersion) => {
          expect(apiVersion).to.equal('events.k8s.io/v1');
          const message = 'events.v1.Event';
          return { message, live: { note: 'x' }, next: { note: 'y' }, resetFields: EMPTY_SET };
        },
      });
      expect(entries?.map(({ manager, fieldsV1: owns }) => [manager, owns])).to.deep.equal([
        ['old', { 'f:reason': {} }],
        ['tester', { 'f:message': {} }],
      ]);
    });

    it('vanish when theirs is not served', () => {
      expect(trackUpdate(event)?.map(({ manager }) => manager)).to.deep.equal(['tester']);
    });
  });

  it('are given up for an object whose elements nothing tells apart', () => {
    const message = 'core.v1.ServiceAccount';
    const next = { secrets: [{ kind: 'Secret' }] };
    expect(trackUpdate({ ...update(undefined, next), message })).to.equal(undefined);
  });

  it('leave live and next as they were', () => {
    const made = deepFreeze(written(undefined, { data: { a: '1' } }, { manager: 'alice' }));
    const next = deepFreeze(structuredClone({ ...made, data: { a: '2' } }));
    expect(trackUpdate(update(made, next))).to.have.length(2);
  });
});

describe('reset fields', () => {
  const of = (resource: string, subresource: string, group = '') => {
    const kind = findResource(group, 'v1', resource);
    return kind === undefined ? undefined : resetFieldsOf(kind, subresource).toJson();
  };

  it('are the status for an object, and all but the status for its status', () => {
    expect(of('nodes', '')).to.deep.equal({ 'f:status': {} });
    expect(of('nodes', 'status')).to.deep.equal({ 'f:spec': {} });
    expect(of('namespaces', 'finalize')).to.deep.equal({ 'f:status': {} });
    expect(of('configmaps', '')).to.deep.equal({});
  });

  it('count metadata that a kind keeps from writes of its status', () => {
    expect(of('pods', 'status')).to.deep.equal({
      'f:metadata': { 'f:deletionTimestamp': {}, 'f:ownerReferences': {} },
      'f:spec': {},
    });
    expect(of('deployments', 'status', 'apps')).to.deep.equal({
      'f:metadata': { 'f:labels': {} },
      'f:spec': {},
    });
  });
});

function update(live: object | undefined, next: object): Update {
  return {
    message: 'core.v1.ConfigMap',
    live: live as JsonObject | undefined,
    next: next as JsonObject,
    resetFields: EMPTY_SET,
    manager: 'tester',
    apiVersion: 'v1',
    subresource: '',
    nowText: NOW,
  };
}

/** A config map with what a write makes of its managedFields. */
function written(
  live: JsonObject | undefined,
  content: JsonObject,
  options: Partial<Update>,
  sent?: ManagedFieldsEntry[],
): JsonObject {
  const next = { ...CONFIG_MAP, ...content, metadata: { managedFields: sent } };
  const managedFields = trackUpdate({ ...update(live, next), ...options });
  return { ...next, metadata: { managedFields } } as unknown as JsonObject;
}

function entriesOf(object: JsonObject): ManagedFieldsEntry[] | undefined {
  return (object['metadata'] as KubeObject['metadata'] | undefined)?.managedFields;
}

function owned(object: JsonObject): Record<string, unknown> {
  return Object.fromEntries(
    (entriesOf(object) ?? []).map(({ manager = '', fieldsV1 }) => [manager, fieldsV1]),
  );
}

/** Does all writes of a recording but applies; returns how many of them. */
function replay(steps: readonly RecordedStep[]): number {
  const objects = new Map<string, JsonObject>();
  let count = 0;
  for (const step of steps) {
    const { request, response } = step;
    const { body } = response;
    const { name = '' } = (body['metadata'] ?? {}) as { name?: string };
    const path = request.method === 'POST' ? `${request.path}/${name}` : request.path;
    const live = request.method === 'POST' ? undefined : objects.get(path);
    const isRead = request.headers?.['Accept'] !== undefined;
    const isWrite = ['POST', 'PUT', 'PATCH'].includes(request.method);
    const isApply = request.headers?.['Content-Type'] === 'application/apply-patch+yaml';
    if (response.status >= 300 || body['kind'] === 'Status' || isRead) continue;
    if (isWrite && !isApply && targetOf(path).subresource === '') {
      expectTracked(step, live);
      count++;
    }
    objects.set(path, body);
  }
  return count;
}

function expectTracked({ request, response }: RecordedStep, live: JsonObject | undefined): void {
  const recorded = entriesOf(response.body);
  const { group, version } = splitApiVersion(response.body['apiVersion'] as string);
  const kind = findKind(group, version, response.body['kind'] as string);
  if (kind === undefined) throw new Error('the kind is not served');
  const next = sentObject(kind, request, live);
  const entries = trackUpdate({
    message: kind.message,
    live: deepFreeze(live),
    next: deepFreeze(next),
    resetFields: resetFieldsOf(kind, ''),
    manager: managerName(request.query?.['fieldManager'] ?? '', 'recorder/1.0'),
    apiVersion: response.body['apiVersion'] as string,
    subresource: '',
    nowText: recorded?.at(-1)?.time ?? NOW,
  });
  // The order of members counts too.
  expect(JSON.stringify(entries, undefined, 1)).to.equal(JSON.stringify(recorded, undefined, 1));
}

/** Object that the client wants, in its types and with defaults: its fields are owned. */
function sentObject(
  kind: Kind,
  request: RecordedStep['request'],
  live: JsonObject | undefined,
): JsonObject {
  const body = request.body as JsonObject;
  const wanted = request.method === 'PATCH' ? applyMergePatch(live ?? {}, body) : body;
  const object = normalize(schemaOf(kind.message), wanted).object as unknown as KubeObject;
  kind.setDefaults(object);
  return object as unknown as JsonObject;
}
