/** Receives the work of a backend, for metrics. Durations are seconds. */
export interface BackendObserver {
  /** The engine took a batch. */
  committed(seconds: number): void;
  /** The engine began to give space back, in the background. */
  reclaiming(): void;
  reclaimed(seconds: number): void;
}
