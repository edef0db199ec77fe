/** Tables of pods, Deployments and ReplicaSets against recordings of the real API server. */
import { expect } from 'chai';
import type { ReplicaSet } from '../../../../src/gen/kube-apps-v1.js';
import { deployment } from '../../../../src/cluster/api/kinds/apps/deployment.js';
import { replicaSet } from '../../../../src/cluster/api/kinds/apps/replicaset.js';
import { pod } from '../../../../src/cluster/api/kinds/core/pod.js';
import type { Kind } from '../../../../src/cluster/api/kinds/kind.js';
import type { JsonObject, KubeObject } from '../../../../src/cluster/api/object.js';
import { decoded } from './recorded-workloads.js';
import { recordedSteps } from './recorded-writes.js';

interface Table {
  readonly kind: string;
  readonly columnDefinitions?: readonly (JsonObject & { readonly description: string })[];
  readonly rows: readonly {
    readonly cells: readonly (string | number)[];
    readonly conditions?: readonly JsonObject[];
    readonly object?: JsonObject & { readonly spec?: JsonObject };
  }[];
}

const TABLES = [
  [pod, 'tables/v1.Pod.json'],
  [deployment, 'tables/apps_v1.Deployment.json'],
  [replicaSet, 'tables/apps_v1.ReplicaSet.json'],
] as unknown as readonly (readonly [Kind, string])[];

function tablesOf(file: string): Table[] {
  return recordedSteps(file)
    .map(({ response }) => response.body as unknown as Table | undefined)
    .filter((body) => body?.kind === 'Table')
    .filter((body) => body !== undefined);
}

/** Time of the recording: the age that a row tells, in seconds, after the object was made. */
function nowOf({ metadata }: KubeObject, age: number): number {
  return Date.parse(metadata.creationTimestamp ?? '') + age * 1000;
}

describe('tables of pods and workloads as recorded', () => {
  for (const [kind, file] of TABLES) {
    it(`${kind.kind}: columns`, () => {
      const recorded = tablesOf(file).find(
        ({ columnDefinitions }) => columnDefinitions !== undefined,
      );
      const plain = (columns: readonly object[]): object[] =>
        columns.map((column) => ({ ...column, description: '' }));
      expect(plain(kind.columns)).to.deep.equal(plain(recorded?.columnDefinitions ?? []));
    });

    const ageAt = kind.columns.findIndex(({ name }) => name === 'Age');
    const rows = tablesOf(file).flatMap((table) => table.rows);
    for (const { cells, conditions, object } of rows) {
      if (object?.spec === undefined) continue;
      it(`${kind.kind}: ${cells[0]}`, () => {
        const own = decoded(kind, object);
        const nowMs = nowOf(own, Number.parseInt(String(cells[ageAt]), 10));
        expect(kind.cells(own, nowMs)).to.deep.equal(cells);
        expect(kind.rowConditions?.(own) ?? []).to.deep.equal(conditions ?? []);
      });
    }
  }

  it('ReplicaSet: rows whose objects were not recorded whole', () => {
    const [{ rows } = { rows: [] }] = tablesOf('tables/apps_v1.ReplicaSet.json');
    expect(rows).to.have.lengthOf(2);
    for (const { cells } of rows) {
      const [name, replicas, current, readyReplicas] = cells;
      const metadata = { name, creationTimestamp: '2026-11-28T12:00:00Z' };
      const template = { spec: { containers: [{ name: 'c', image: 'nginx' }] } };
      const selector = { matchLabels: { app: 'rs' } };
      const own = {
        metadata,
        spec: { replicas, selector, template },
        status: { replicas: current, readyReplicas },
      } as unknown as ReplicaSet;
      expect(replicaSet.cells(own, nowOf(own, 0))).to.deep.equal(cells);
    }
  });
});
