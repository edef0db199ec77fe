/** Recordings of a real API server (test/golden), as requests with their answers. */
import { readdirSync, readFileSync } from 'node:fs';
import type { JsonObject, JsonValue } from '../../../src/cluster/api/object.js';

const ROOT = new URL('../../golden/', import.meta.url);

export interface Step {
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query?: Readonly<Record<string, string>>;
    readonly headers?: Readonly<Record<string, string>>;
    /** A string where it was sent as text. */
    readonly body?: JsonValue;
  };
  readonly response: {
    readonly status: number;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: JsonObject;
  };
}

/** `file` as `validation/malformed`. */
export function stepsOf(file: string): readonly Step[] {
  const text = readFileSync(new URL(`${file}.json`, ROOT), 'utf8');
  return (JSON.parse(text) as { steps?: Step[] }).steps ?? [];
}

export function filesIn(folder: string): string[] {
  const names = readdirSync(new URL(folder, ROOT));
  return names.map((name) => `${folder}/${name.replace(/\.json$/, '')}`);
}
