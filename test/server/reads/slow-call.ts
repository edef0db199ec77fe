import { expect } from 'chai';
import type { Env } from '../../../src/base/env/env.js';
import { SlicedWork } from '../../../src/base/slices/sliced-work.js';
import type { PartSource, RpcError } from '../../../src/rpc/service.js';
import type { SteppedEnv } from '../../mvcc/stepped-env.js';

/** Sliced work that finds every turn used up: one step a turn. */
export function slowSlices(env: SteppedEnv): SlicedWork {
  let looks = 0;
  const slow = {
    clock: { monoMs: () => (looks += 5) },
    defer: (run: () => void) => env.defer(run),
  };
  return new SlicedWork(slow as unknown as Env);
}

/** Sliced work that never runs out of time: all of it is done within the call. */
export function promptSlices(): SlicedWork {
  const prompt = { clock: { monoMs: () => 0 }, defer: () => undefined };
  return new SlicedWork(prompt as unknown as Env);
}

/** A call whose client takes the parts of a long reply at the test's call. */
export class Call {
  readonly peer = 'test';
  readonly deadlineMs = Infinity;
  cancelled = false;
  whole: Buffer | undefined;
  error: RpcError | undefined;
  totalBytes = NaN;
  source: PartSource | undefined;
  readonly written: Uint8Array[] = [];
  hasRoom = true;
  hasEnded = false;
  private drain: () => void = () => undefined;
  private cancelListener: () => void = () => undefined;

  reply(message: Uint8Array): void {
    expect(this.whole).to.equal(undefined);
    this.whole = Buffer.from(message);
  }
  replyParts(totalBytes: number, source: PartSource): void {
    this.totalBytes = totalBytes;
    this.source = source;
  }
  fail(error: RpcError): void {
    this.error = error;
  }
  write(message: Uint8Array): boolean {
    this.written.push(Buffer.from(message));
    return this.hasRoom;
  }
  end(): void {
    this.hasEnded = true;
  }
  onDrain(listener: () => void): void {
    this.drain = listener;
  }
  onCancel(listener: () => void): void {
    this.cancelListener = listener;
  }
  becomeWritable(): void {
    this.drain();
  }
  cancel(): void {
    this.cancelled = true;
    this.cancelListener();
  }

  /** Takes the parts of a streamed reply, at most `count`, as fast as they are read; true at the end. */
  pull(env: SteppedEnv, count = Infinity): boolean {
    while (this.parts.length < count) {
      let isThere = false;
      const part = this.source?.next(() => (isThere = true));
      if (part === undefined) return true;
      if (part === null) while (!isThere) expect(env.step()).to.equal(true);
      else this.parts.push(part);
    }
    return false;
  }
  /** Takes what is left of a streamed reply whose parts are all read within the call. */
  takeAll(): void {
    for (;;) {
      const part = this.source?.next(() => expect.fail('a part comes late'));
      if (part === undefined) return;
      expect(part).not.to.equal(null);
      if (part !== null) this.parts.push(part);
    }
  }
  readonly parts: Uint8Array[] = [];

  get bytes(): Buffer {
    return this.whole ?? Buffer.concat(this.parts);
  }
}
