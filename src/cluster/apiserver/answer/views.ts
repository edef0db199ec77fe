/**
 * Views of objects that clients ask for instead of the objects: Table (what `kubectl get` prints)
 * and PartialObjectMetadata (what garbage collectors watch). meta.k8s.io/v1.
 */
import type { PartialObjectMetadata, Table, TableRow } from '../../../gen/kube-meta-v1.js';
import type { Kind } from '../../api/kinds/kind.js';
import { badRequest } from '../../api/status.js';
import type { StoredObject } from '../storage/stored-object.js';

export type IncludeObject = 'Metadata' | 'Object' | 'None';

/** Value of the query's `includeObject`. Throws: ApiError 400. */
export function parseIncludeObject(text: string | null): IncludeObject {
  if (text === null || text === '') return 'Metadata';
  if (text === 'Metadata' || text === 'Object' || text === 'None') return text;
  throw badRequest(
    `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(text)}: must be 'Metadata', 'Object', 'None', or empty`,
  );
}

export interface TableOptions {
  readonly version: string;
  readonly include: IncludeObject;
  readonly nowMs: number;
  /** False for all but the first event of a watch. */
  readonly hasColumns: boolean;
}

/** Part of a kind that its table needs. */
export type TableView = Pick<Kind, 'columns' | 'cells' | 'rowConditions'>;

type Shown = Pick<StoredObject, 'object'>;

export function tableOf(
  kind: TableView,
  objects: readonly Shown[],
  metadata: Table['metadata'],
  options: TableOptions,
): Record<keyof Table, unknown> {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${options.version}`,
    metadata,
    columnDefinitions: options.hasColumns ? kind.columns : null,
    rows: objects.map((stored) => rowOf(kind, stored, options)),
  };
}

export function rowOf(kind: TableView, stored: Shown, options: TableOptions): TableRow {
  const { object } = stored;
  const conditions = kind.rowConditions?.(object) ?? [];
  return {
    cells: kind.cells(object, options.nowMs),
    ...(conditions.length === 0 ? {} : { conditions: [...conditions] }),
    object: includedObject(stored, options),
  };
}

function includedObject(stored: Shown, { include, version }: TableOptions): unknown {
  if (include === 'None') return null;
  return include === 'Object' ? stored.object : partialOf(stored, version);
}

export function partialOf(stored: Shown, version: string): PartialObjectMetadata {
  return {
    kind: 'PartialObjectMetadata',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: stored.object.metadata,
  };
}
