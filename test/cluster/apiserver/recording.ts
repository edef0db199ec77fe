import { readFileSync } from 'node:fs';

export interface RecordedStep {
  readonly note?: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly query?: Readonly<Record<string, string>>;
    readonly headers?: Readonly<Record<string, string>>;
    readonly user?: string;
    readonly body?: unknown;
  };
  readonly response: {
    readonly status: number;
    /** Absent when the recorder gave up. */
    readonly headers?: Readonly<Record<string, string>>;
    readonly body: unknown;
    /** Of a watch: its events in order, or one object where the path names one without an event. */
    readonly stream?: readonly { readonly event: unknown }[];
    /** Of a watch. */
    readonly ended?: 'by server' | 'by recorder';
  };
}

/** Steps of one recording of the real control plane, as `discovery/groups`. */
export function recorded(name: string): readonly RecordedStep[] {
  const text = readFileSync(`test/golden/${name}.json`, 'utf8');
  return (JSON.parse(text) as { steps: RecordedStep[] }).steps;
}
