/**
 * A namespace of ConfigMaps that several clients change at once through two API servers, and what
 * must hold of it. The slow model is the log: every write with its revision, replayed in order.
 */
import { expect } from 'chai';
import { until } from '../../../support/until.js';
import type { ConfigMap } from '../../../../src/gen/kube-core-v1.js';
import type { ApiCore } from '../../../support/api-core.js';
import {
  OpenWatch,
  revisionOf,
  send,
  type List,
  type Reply,
} from '../../../support/api-requests.js';

export type Act = {
  readonly what:
    | 'create'
    | 'generate'
    | 'replace'
    | 'replaceBlindly'
    | 'merge'
    | 'hold'
    | 'release'
    | 'delete'
    | 'deleteExactly'
    | 'dryCreate'
    | 'dryMerge'
    | 'dryDelete'
    | 'get'
    | 'list';
  readonly name: string;
  readonly isSecond: boolean;
  /** Value of the label that watchers select by. */
  readonly color: string;
};

/** A write that was acknowledged, and what the object had to become. */
interface Write {
  readonly revision: number;
  readonly what: string;
  readonly answer: ConfigMap;
  /** Requires of the state before. */
  readonly check: (before: ConfigMap | undefined, after: ConfigMap) => void;
}

interface ListSeen {
  readonly list: List;
  /** Revision that was acknowledged before the list began. */
  readonly atLeast: number;
}

/** Name of the last write. */
const END = 'zz-end';
const JSON_TYPE = { 'content-type': 'application/json' };
const MERGE_TYPE = { 'content-type': 'application/merge-patch+json' };

export class History {
  private readonly servers: readonly [ApiCore, ApiCore];
  private readonly path: string;
  private readonly writes: Write[] = [];
  private readonly removed: string[] = [];
  private readonly lists: ListSeen[] = [];
  private acknowledged = 0;
  private tokens = 0;

  constructor(servers: readonly [ApiCore, ApiCore], namespace: string) {
    this.servers = servers;
    this.path = `/api/v1/namespaces/${namespace}/configmaps`;
  }

  /** Acts of one client, one after the other. */
  async run(acts: readonly Act[]): Promise<void> {
    for (const act of acts) await this.act(act);
  }

  private async act(act: Act): Promise<void> {
    const api = this.servers[act.isSecond ? 1 : 0];
    const one = `${this.path}/${act.name}`;
    const token = `t${this.tokens++}`;
    const fresh = this.object(act, token);
    switch (act.what) {
      case 'create':
      case 'generate':
        return this.create(api, act, token);
      case 'dryCreate':
        return this.refusable(
          await send(api, 'POST', this.path, { query: { dryRun: 'All' }, body: fresh }),
          [201, 409],
        );
      case 'replace':
        return this.replace(api, one, token);
      case 'replaceBlindly':
        return this.note(
          act.what,
          await send<ConfigMap>(api, 'PUT', one, { body: fresh }),
          [200, 404],
          (before, after) => {
            expect(before).not.to.equal(undefined);
            expect(after.data).to.deep.equal({ [token]: '1' });
          },
        );
      case 'merge':
        return this.merge(api, one, token, painted(act, token), (before, after) => {
          expect(after.data).to.deep.equal({ ...before?.data, [token]: '1' });
        });
      case 'dryMerge': {
        const reply = await send(api, 'PATCH', one, {
          query: { dryRun: 'All' },
          headers: MERGE_TYPE,
          body: { data: { dry: 'x' } },
        });
        return this.refusable(reply, [200, 404]);
      }
      case 'hold':
        return this.merge(api, one, token, { metadata: { finalizers: ['a/b'] } });
      case 'release':
        return this.merge(api, one, token, { metadata: { finalizers: null } });
      case 'delete':
        await this.delete(api, one, {});
        return;
      case 'dryDelete':
        return this.refusable(
          await send(api, 'DELETE', one, { query: { dryRun: 'All' } }),
          [200, 404],
        );
      case 'deleteExactly':
        return this.deleteExactly(api, one);
      case 'get':
        return this.refusable(await send(api, 'GET', one), [200, 404]);
      case 'list':
        return this.list(api);
    }
  }

  private object({ name, color }: Act, token: string): ConfigMap {
    const metadata = { name, labels: { color } };
    return { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { [token]: '1' } };
  }

  private async create(api: ApiCore, act: Act, token: string): Promise<void> {
    const body = this.object(act, token);
    if (act.what === 'generate') {
      delete body.metadata.name;
      body.metadata.generateName = 'made-';
    }
    const reply = await send<ConfigMap>(api, 'POST', this.path, { body });
    this.note(act.what, reply, act.what === 'generate' ? [201] : [201, 409], (before, after) => {
      expect(before, 'created though it was there').to.equal(undefined);
      expect(after.data).to.deep.equal({ [token]: '1' });
    });
  }

  /** Reads, changes and writes back: refused when anybody wrote in between. */
  private async replace(api: ApiCore, path: string, token: string): Promise<void> {
    const found = await send<ConfigMap>(api, 'GET', path);
    if (found.status !== 200) return;
    const body = { ...found.body, data: { ...found.body.data, [token]: '1' } };
    const reply = await send<ConfigMap>(api, 'PUT', path, { headers: JSON_TYPE, body });
    this.note('replace', reply, [200, 404, 409], (before, after) => {
      expect(before?.metadata.resourceVersion).to.equal(found.body.metadata.resourceVersion);
      expect(after.data).to.deep.equal(body.data);
    });
  }

  private async merge(
    api: ApiCore,
    path: string,
    token: string,
    patch: object,
    check: Write['check'] = () => undefined,
  ): Promise<void> {
    const extras = { headers: MERGE_TYPE, body: patch, query: { fieldManager: token } };
    const reply = await send<ConfigMap>(api, 'PATCH', path, extras);
    // A finalizer for an object that is going is refused.
    this.note(`merge ${JSON.stringify(patch)}`, reply, [200, 404, 422], (before, after) => {
      expect(before).not.to.equal(undefined);
      check(before, after);
    });
  }

  private async delete(api: ApiCore, path: string, preconditions: object): Promise<number> {
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions };
    const reply = await send<ConfigMap & { details?: { uid?: string } }>(api, 'DELETE', path, {
      body,
    });
    if (reply.status === 200 && reply.body.kind === 'ConfigMap') {
      this.note('mark', reply, [200], (_, after) => {
        expect(after.metadata.deletionTimestamp).to.be.a('string');
      });
    } else if (reply.status === 200) {
      this.removed.push(reply.body.details?.uid ?? '');
    }
    this.refusable(reply, [200, 404, 409]);
    return reply.status;
  }

  private async deleteExactly(api: ApiCore, path: string): Promise<void> {
    const found = await send<ConfigMap>(api, 'GET', path);
    if (found.status !== 200) return;
    const { uid, resourceVersion } = found.body.metadata;
    expect(await this.delete(api, path, { uid: 'another' })).to.be.oneOf([409, 404]);
    await this.delete(api, path, { uid, resourceVersion });
  }

  private async list(api: ApiCore): Promise<void> {
    const atLeast = this.acknowledged;
    const reply = await send<List>(api, 'GET', this.path);
    expect(reply.status).to.equal(200);
    this.lists.push({ list: reply.body, atLeast });
  }

  private refusable({ status, body }: Reply<unknown>, allowed: readonly number[]): void {
    expect(status, JSON.stringify(body)).to.be.oneOf([...allowed]);
  }

  private note(
    what: string,
    reply: Reply<ConfigMap>,
    allowed: readonly number[],
    check: Write['check'],
  ): void {
    this.refusable(reply, allowed);
    if (reply.status >= 300) return;
    const { deletionTimestamp, finalizers = [], uid = '' } = reply.body.metadata;
    if (deletionTimestamp !== undefined && finalizers.length === 0) {
      // It took the last finalizer of an object that was going.
      this.removed.push(uid);
      return;
    }
    const revision = revisionOf(reply.body);
    this.acknowledged = Math.max(this.acknowledged, revision);
    this.writes.push({ revision, what, answer: reply.body, check });
  }

  /** Replays the log of a watch that began before the first act, and compares all that was seen. */
  async verify(fromRevision: number): Promise<void> {
    const [first, second] = this.servers;
    await this.act({ what: 'create', name: END, isSecond: false, color: 'red' });
    const final = (await send<List>(second, 'GET', this.path)).body;
    const log = await watched(first, this.path, fromRevision);
    const states = replay(log);
    this.checkWrites(log, states);
    expect(itemsOf(final)).to.deep.equal(shown(states.at(-1)?.objects));
    for (const { list, atLeast } of this.lists) {
      expect(revisionOf(list)).to.be.at.least(atLeast);
      const state = states.findLast(({ revision }) => revision <= revisionOf(list));
      expect(itemsOf(list)).to.deep.equal(shown(state?.objects));
    }
    // From each revision but the last, after which there is nothing to wait for.
    for (const from of [fromRevision, ...log.map(({ revision }) => revision)].slice(0, -1)) {
      await this.checkSuffix(log, from);
    }
  }

  /** Each entry of the log is a write that a client made, and became what that client wanted. */
  private checkWrites(log: readonly LogEntry[], states: readonly State[]): void {
    const removed: string[] = [];
    for (const [i, { type, revision, object }] of log.entries()) {
      const { uid = '', name = '' } = object.metadata;
      const writes = this.writes.filter((write) => write.revision === revision);
      if (type === 'DELETED') {
        removed.push(uid);
        continue;
      }
      for (const { answer, what } of writes) expect(answer, what).to.deep.equal(object);
      const before = states[i]?.objects.get(name);
      // Others that changed nothing were shown this state, too.
      const failures = writes.map(({ check }) => failureOf(() => check(before, object)));
      expect(failures, `nobody wrote ${JSON.stringify(object)}`).to.include(undefined);
    }
    expect(removed.sort()).to.deep.equal([...this.removed].sort());
  }

  /** Watches of both servers, with and without a selector, show exactly the writes after `from`. */
  private async checkSuffix(log: readonly LogEntry[], from: number): Promise<void> {
    const later = log.filter(({ revision }) => revision > from);
    for (const api of this.servers) {
      expect(await watched(api, this.path, from)).to.deep.equal(later);
      const red = await watched(api, this.path, from, 'color=red');
      expect(red).to.deep.equal(selected(log, from));
    }
  }
}

interface LogEntry {
  readonly type: string;
  readonly revision: number;
  readonly object: ConfigMap;
}

interface State {
  /** The state after this one. */
  readonly revision: number;
  readonly objects: ReadonlyMap<string, ConfigMap>;
}

/** All events above `from`, up to the last write, which is that of END. */
async function watched(
  api: ApiCore,
  path: string,
  from: number,
  labelSelector = '',
): Promise<LogEntry[]> {
  const watch = await OpenWatch.open(api, path, { resourceVersion: String(from), labelSelector });
  await until(() => watch.events.at(-1)?.object.metadata.name === END);
  watch.stop();
  let last = from;
  return watch.events.map(({ type, object }) => {
    const revision = revisionOf(object);
    expect(revision, 'revisions increase').to.be.greaterThan(last);
    expect(type).to.be.oneOf(['ADDED', 'MODIFIED', 'DELETED']);
    last = revision;
    return { type, revision, object: object };
  });
}

function painted({ color }: Act, token: string): object {
  return { metadata: { labels: { color } }, data: { [token]: '1' } };
}

/** The states between the entries: the first before all of them. */
function replay(log: readonly LogEntry[]): State[] {
  let objects = new Map<string, ConfigMap>();
  const states: State[] = [{ revision: 0, objects }];
  for (const { type, revision, object } of log) {
    const name = object.metadata.name ?? '';
    const before = objects.get(name);
    objects = new Map(objects);
    expect(type === 'ADDED', `${type} of ${name}`).to.equal(before === undefined);
    if (before !== undefined) {
      expect(object.metadata.uid).to.equal(before.metadata.uid);
      expect(object.metadata.creationTimestamp).to.equal(before.metadata.creationTimestamp);
    }
    if (type === 'DELETED') objects.delete(name);
    else objects.set(name, object);
    states.push({ revision, objects });
  }
  return states;
}

function selected(log: readonly LogEntry[], from: number): LogEntry[] {
  const isRed = (object: ConfigMap | undefined): boolean =>
    object?.metadata.labels?.['color'] === 'red';
  const states = replay(log);
  return log.flatMap((entry, i) => {
    if (entry.revision <= from) return [];
    const before = states[i]?.objects.get(entry.object.metadata.name ?? '');
    const is = entry.type !== 'DELETED' && isRed(entry.object);
    if (is) return [{ ...entry, type: isRed(before) ? 'MODIFIED' : 'ADDED' }];
    if (!isRed(before) || before === undefined) return [];
    const metadata = { ...before.metadata, resourceVersion: String(entry.revision) };
    return [{ ...entry, type: 'DELETED', object: { ...before, metadata } }];
  });
}

function itemsOf(list: List): object[] {
  return list.items.map((item) => ({ ...item, kind: 'ConfigMap', apiVersion: 'v1' }));
}

function shown(objects: ReadonlyMap<string, ConfigMap> | undefined): ConfigMap[] {
  const byName = [...(objects ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
  return byName.map(([, object]) => object);
}

function failureOf(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return String(error);
  }
}
