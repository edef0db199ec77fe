import type { Pod, Probe } from '../../../gen/kube-core-v1.js';
import type { ClusterEnv, ClusterTimer } from '../../env.js';
import type { Recorder } from '../pods/recorder.js';
import { containerReference } from '../pods/recorder.js';
import type { ProbeContext, ProbeKind, ProbeOutcome } from './probe.js';
import { runProbe } from './probe.js';

export type ProbeResult = 'success' | 'failure' | 'unknown';

export interface ProberOptions {
  readonly env: ClusterEnv;
  readonly recorder: Recorder;
  readonly pod: Pod;
  readonly kind: ProbeKind;
  readonly probe: Probe;
  readonly context: ProbeContext;
  /** Wall milliseconds. */
  readonly startedAtMs: number;
  readonly initial: ProbeResult;
  /** False while the container's startup probe has not succeeded. */
  readonly mayRun: () => boolean;
  readonly onResult: () => void;
}

const TITLES: Readonly<Record<ProbeKind, string>> = {
  liveness: 'Liveness',
  readiness: 'Readiness',
  startup: 'Startup',
};

/** Repeats one probe of one container from its start to its end. */
export class Prober {
  readonly #options: ProberOptions;
  #result: ProbeResult;
  #last: ProbeResult = 'unknown';
  /** Number of times in a row that the last result came. */
  #run = 0;
  #isAsking = false;
  #isOver = false;
  #timer: ClusterTimer | undefined;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#result = options.initial;
    const delayMs = (options.probe.initialDelaySeconds ?? 0) * 1000;
    const sinceMs = options.env.wallMs() - options.startedAtMs;
    this.#arm(Math.max(0, delayMs - sinceMs));
  }

  get result(): ProbeResult {
    return this.#result;
  }

  stop(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  /** Asks now rather than at the next period. */
  hurry(): void {
    if (this.#isAsking || this.#isOver) return;
    this.#timer?.cancel();
    this.#arm(0);
  }

  #arm(delayMs: number): void {
    this.#timer = this.#options.env.after(delayMs, () => void this.#tick());
  }

  async #tick(): Promise<void> {
    const { env, probe, mayRun, kind } = this.#options;
    const startMs = env.monoMs();
    if (kind === 'startup' ? this.#result !== 'success' : mayRun()) {
      this.#isAsking = true;
      const outcome = await runProbe(this.#options.context, probe);
      this.#isAsking = false;
      if (this.#isOver) return;
      this.#note(outcome);
    }
    const nextMs = startMs + (probe.periodSeconds ?? 10) * 1000;
    if (!this.#isOver) this.#arm(Math.max(0, nextMs - env.monoMs()));
  }

  #note(outcome: ProbeOutcome): void {
    const { kind, probe } = this.#options;
    if (outcome.result !== 'success') this.#tell(outcome);
    if (outcome.result === 'error') return;
    const { result } = outcome;
    this.#run = result === this.#last ? this.#run + 1 : 1;
    this.#last = result;
    const threshold =
      result === 'failure' ? (probe.failureThreshold ?? 3) : (probe.successThreshold ?? 1);
    if (this.#run < threshold) return;
    const isNews = result !== this.#result;
    this.#result = result;
    // The container will end: nothing more is to be learnt from it.
    if (result === 'failure' && kind !== 'readiness') this.stop();
    if (isNews) this.#options.onResult();
  }

  #tell({ result, output }: ProbeOutcome): void {
    const { pod, context, kind, recorder } = this.#options;
    const title = TITLES[kind];
    const text =
      result === 'failure'
        ? `${title} probe failed: ${output}`
        : `${title} probe errored and resulted in unknown state: ${output}`;
    const about = containerReference(pod, context.container.name);
    recorder.event(about, 'Warning', 'Unhealthy', text);
  }
}
