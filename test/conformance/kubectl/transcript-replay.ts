/** Replays transcripts on a cluster: each command when the cluster rests, those that only read side by side. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../support/until.js';
import type { TranscriptCluster } from './transcript-cluster.js';
import {
  differenceOf,
  listedFor,
  unexplained,
  withoutAbsent,
  type Difference,
  type Found,
  type Listed,
} from './transcript-differences.js';
import { Masking } from './transcript-masking.js';
import { isReading, run, transcriptsOf, type Group, type Transcript } from './transcript.js';

export interface Outcome {
  readonly number: number;
  readonly command: string;
  readonly listed: Difference | undefined;
  readonly found: Partial<Found>;
  readonly problems: readonly string[];
}

const NAMESPACE = 'rec-kc';
/** Processors may be few. */
const SIDE_BY_SIDE = 3;
/** Changes another image where there is one; the recorder's editor is not known. */
const EDITOR = `#!/bin/sh\nsed -i 's/image: nginx:/image: httpd:/' "$1"\n`;
/** Events and the like follow a moment after what they tell of. */
const TRIES = 20;

export class Replay {
  private readonly cluster: TranscriptCluster;
  private readonly program: string;
  private readonly release: string;
  private readonly listed: Listed;
  private readonly masking: Masking;
  private readonly env: NodeJS.ProcessEnv;

  constructor(cluster: TranscriptCluster, program: string, release: string, listed: Listed) {
    this.cluster = cluster;
    this.program = program;
    this.release = release;
    this.listed = listed;
    const { dir, address } = cluster;
    const leaveOut = (text: string): string => withoutAbsent(text, listed.leftOut);
    this.masking = new Masking(address, dir, leaveOut);
    const editor = join(dir, 'editor');
    writeFileSync(editor, EDITOR);
    chmodSync(editor, 0o755);
    mkdirSync(join(dir, 'tmp'));
    this.env = {
      PATH: process.env['PATH'],
      HOME: dir,
      TMPDIR: join(dir, 'tmp'),
      KUBECACHEDIR: join(dir, 'cache'),
      KUBECONFIG: cluster.kubeconfig,
      KUBE_EDITOR: editor,
    };
  }

  /** Outcomes of the commands of a group, but for those that are not replayable. */
  async group(group: Group): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    const running = new Set<Promise<void>>();
    const skipped = this.listed.notReplayable[group] ?? {};
    for (const [number, transcript] of transcriptsOf(group).entries()) {
      if (skipped[String(number)] !== undefined) continue;
      const reads = isReading(transcript);
      while (running.size > (reads ? SIDE_BY_SIDE - 1 : 0)) await Promise.race(running);
      if (running.size === 0) await until(() => this.cluster.isSettled(NAMESPACE));
      const work = this.one(group, number, transcript).then((outcome) => {
        outcomes.push(outcome);
        running.delete(work);
      });
      running.add(work);
      if (!reads) await work;
    }
    await Promise.all(running);
    return outcomes.sort((a, b) => a.number - b.number);
  }

  private async one(group: Group, number: number, transcript: Transcript): Promise<Outcome> {
    const { command } = transcript;
    const listed = listedFor(this.listed, group, number, this.release);
    const recorded = this.masking.recorded(command, transcript);
    for (let tries = isReading(transcript) ? TRIES : 1; ; tries--) {
      const result = await run(this.program, transcript, this.env);
      const found = differenceOf(recorded, this.masking.current(command, result));
      const problems = unexplained(found, listed);
      if (problems.length === 0 || tries === 1) return { number, command, listed, found, problems };
    }
  }
}
