import { expect } from 'chai';
import fc from 'fast-check';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { serviceUnavailable } from '../../../src/cluster/api/status.js';
import { PODS } from '../../../src/cluster/client/resource-types.js';
import { RuntimeError } from '../../../src/cluster/runtime/runtime.js';
import type { Pod, PodSpec } from '../../../src/gen/kube-core-v1.js';
import { KubeletBench, container } from './support/kubelet-bench.js';

/** Numbers choose among what is there at the moment. */
type Step =
  | { readonly do: 'add'; readonly shape: number }
  | { readonly do: 'exit'; readonly which: number; readonly code: number }
  | { readonly do: 'delete'; readonly which: number; readonly grace: number }
  | { readonly do: 'vanish'; readonly which: number }
  | { readonly do: 'killSandbox'; readonly which: number }
  | { readonly do: 'restart' }
  | { readonly do: 'api'; readonly isUp: boolean }
  | { readonly do: 'runtime'; readonly failing: string }
  | { readonly do: 'probes'; readonly areWell: boolean }
  | { readonly do: 'wait'; readonly seconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('add'), shape: fc.nat(5) } as const) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('exit'), which: fc.nat(9), code: fc.nat(2) } as const),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('delete'),
      which: fc.nat(9),
      grace: fc.constantFrom(0, 1, 10),
    } as const),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('vanish'), which: fc.nat(9) } as const) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('killSandbox'), which: fc.nat(9) } as const),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart') } as const) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('api'), isUp: fc.boolean() } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('runtime'),
      failing: fc.constantFrom('', 'create', 'start', 'sandbox', 'stop', 'list'),
    } as const),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('probes'), areWell: fc.boolean() } as const),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('wait'),
      seconds: fc.constantFrom(0, 1, 5, 45),
    } as const),
  },
);

const livenessProbe = { exec: { command: ['well'] }, periodSeconds: 2, failureThreshold: 2 };
const sidecar = container('side', { restartPolicy: 'Always' });
const SHAPES: Partial<PodSpec>[] = [
  {},
  { restartPolicy: 'Never' },
  { restartPolicy: 'OnFailure', containers: [container('app'), container('two')] },
  { initContainers: [container('init')], containers: [container('app', { livenessProbe })] },
  { restartPolicy: 'Never', initContainers: [sidecar, container('init')] },
  { terminationGracePeriodSeconds: 5, containers: [container('app', { livenessProbe })] },
];

/** Statuses as they must never change, by uid. */
class Observer {
  readonly #last = new Map<string, NonNullable<Pod['status']>>();
  readonly problems: string[] = [];

  look(pods: readonly Pod[]): void {
    for (const { metadata, status = {} } of pods) {
      const uid = metadata.uid ?? '';
      const before = this.#last.get(uid);
      this.#last.set(uid, status);
      if (before === undefined) continue;
      if (isOver(before) && status.phase !== before.phase) {
        this.problems.push(`${uid}: phase from ${before.phase ?? ''} to ${status.phase ?? ''}`);
      }
      if (before.startTime !== undefined && before.startTime !== status.startTime) {
        this.problems.push(`${uid}: start moved`);
      }
      for (const { name, restartCount } of before.containerStatuses ?? []) {
        const now = status.containerStatuses?.find((one) => one.name === name);
        if (now === undefined || now.restartCount < restartCount) {
          this.problems.push(`${uid}: ${name} has fewer restarts`);
        }
      }
    }
  }
}

function isOver({ phase }: NonNullable<Pod['status']>): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}

/** Each container runs, or has ended for good. */
function isAtRest({ phase, containerStatuses = [] }: NonNullable<Pod['status']>): boolean {
  return (
    phase === 'Running' && containerStatuses.every(({ state }) => state?.waiting === undefined)
  );
}

class Run {
  readonly bench: KubeletBench;
  readonly observer = new Observer();
  #isApiUp = true;
  #areWell = true;
  #failing = '';
  #next = 0;

  constructor(bench: KubeletBench) {
    this.bench = bench;
    bench.runtime.defaultStopMs = 3000;
    bench.runtime.before = (operation) => {
      if (operation === this.#failing) throw new RuntimeError('Internal', `${operation} fails`);
    };
    bench.runtime.onExec = () =>
      Promise.resolve({
        stdout: new Uint8Array(),
        stderr: new Uint8Array(),
        exitCode: this.#areWell ? 0 : 1,
      });
    bench.api.intercept((call) => {
      this.observer.look(bench.api.list(PODS));
      const isWrite = call.method !== 'GET';
      if (isWrite && !this.#isApiUp) throw serviceUnavailable('away');
      if (call.method === 'DELETE') this.#checkDelete(call.path);
      return undefined;
    });
  }

  /** The kubelet deletes an object only when nothing of the pod runs. */
  #checkDelete(path: string): void {
    const name = path.split('/').at(-1) ?? '';
    const uid = this.bench.pod(name)?.metadata.uid ?? '';
    const isMine = this.bench.pod(name)?.metadata.deletionTimestamp !== undefined;
    const left = this.bench.runtime
      .running()
      .filter(({ config }) => config.labels['io.kubernetes.pod.uid'] === uid);
    if (isMine && this.#isKubelet && left.length > 0) {
      this.observer.problems.push(`${name} deleted while it runs`);
    }
  }

  /** False while the test itself deletes. */
  #isKubelet = true;

  async take(one: Step): Promise<void> {
    const { bench } = this;
    const { runtime, api, time } = bench;
    const pods = api.list(PODS);
    switch (one.do) {
      case 'add':
        if (pods.length < 6) bench.addPod(`pod-${this.#next++}`, SHAPES[one.shape]);
        return;
      case 'exit': {
        const running = runtime.running();
        const chosen = running[one.which % Math.max(1, running.length)];
        if (chosen !== undefined) runtime.exit(chosen, one.code);
        return;
      }
      case 'delete': {
        const chosen = pods[one.which % Math.max(1, pods.length)];
        if (chosen === undefined || !this.#isApiUp || one.grace === 0) return;
        this.#isKubelet = false;
        await bench.deletePod(chosen.metadata.name ?? '', one.grace);
        this.#isKubelet = true;
        return;
      }
      case 'vanish': {
        const chosen = pods[one.which % Math.max(1, pods.length)];
        if (chosen !== undefined) api.remove(PODS, chosen);
        return;
      }
      case 'killSandbox': {
        const ready = [...runtime.sandboxes.values()].filter(({ isReady }) => isReady);
        const chosen = ready[one.which % Math.max(1, ready.length)];
        if (chosen === undefined) return;
        for (const each of runtime.running()) {
          if (each.sandboxId === chosen.id) runtime.exit(each, 137);
        }
        chosen.isReady = false;
        return;
      }
      case 'restart': {
        if (!this.#isApiUp) return;
        await bench.stop();
        await bench.start();
        return;
      }
      case 'api':
        this.#isApiUp = one.isUp;
        return;
      case 'runtime':
        this.#failing = one.failing;
        return;
      case 'probes':
        this.#areWell = one.areWell;
        return;
      case 'wait':
        await time.advance(one.seconds * 1000);
        return;
      default:
        one satisfies never;
    }
  }

  heal(): void {
    this.#isApiUp = true;
    this.#areWell = true;
    this.#failing = '';
  }
}

describe('kubelet: whatever happens', () => {
  it('keeps its promises, settles, and leaves nothing behind', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 40 }),
        fc.integer({ min: 1, max: 1_000_000 }),
        async (steps, seed) => {
          const bench = await KubeletBench.create(seed);
          try {
            const run = new Run(bench);
            await bench.start();
            for (const one of steps) await run.take(one);
            run.heal();
            // Back-offs are five minutes at most.
            await bench.time.advance(900_000);
            for (const pod of bench.api.list(PODS)) {
              const { name = '', deletionTimestamp } = pod.metadata;
              expect(deletionTimestamp, `${name} ended`).to.be.undefined;
              const isSettled = isAtRest(bench.status(name)) || isOver(bench.status(name));
              // A pod with init containers waits for the test to end them.
              const hasInit = bench.runtime.running().some(({ config }) => config.name === 'init');
              expect(isSettled || hasInit, `${name} settled`).to.be.true;
            }
            for (const pod of bench.api.list(PODS)) {
              if (!isOver(bench.status(pod.metadata.name ?? ''))) {
                await bench.deletePod(pod.metadata.name ?? '', 2);
              } else bench.api.remove(PODS, pod);
            }
            await bench.time.advance(120_000);
            expect(bench.api.list(PODS)).to.deep.equal([]);
            expect(bench.runtime.containers.size).to.equal(0);
            expect(bench.runtime.sandboxes.size).to.equal(0);
            for (const directory of [
              join(bench.config.rootDirectory, 'pods'),
              bench.config.podLogsDirectory,
            ]) {
              const left = existsSync(directory) ? readdirSync(directory) : [];
              expect(left).to.deep.equal([]);
            }
            expect(run.observer.problems).to.deep.equal([]);
            expect(bench.runtime.violations).to.deep.equal([]);
          } finally {
            await bench.close();
          }
        },
      ),
      { numRuns: Number(process.env['KUBELET_RUNS'] ?? 20) },
    );
  });
});
