/** Calls inside the process, from both ends. */
import { expect } from 'chai';
import { Lane } from '../../src/rpc/local/lane.js';
import { LocalCaller } from '../../src/rpc/local-call.js';
import type { LocalCallOptions, LocalSetup, LocalStream } from '../../src/rpc/local-call.js';
import { RpcError, Status } from '../../src/rpc/service.js';
import type { Method, PartSource, StreamCall, UnaryCall } from '../../src/rpc/service.js';
import { ManualEnv } from './support/raw-client.js';

const UNARY = '/test.Svc/Unary';
const STREAM = '/test.Svc/Stream';
const bytes = (text: string): Uint8Array => Buffer.from(text);

/** A message that claims a length and has no bytes. */
function ofLength(length: number): Uint8Array {
  return { length } as Uint8Array;
}

/** The parts of a reply, null for one that is late; `resume` is set when one was asked for in vain. */
class Parts implements PartSource {
  aborted = 0;
  resume: () => void = () => expect.fail('nothing waits');
  private readonly parts: (string | null)[];

  constructor(...parts: (string | null)[]) {
    this.parts = parts;
  }

  next(resume: () => void): Uint8Array | null | undefined {
    const part = this.parts.shift();
    if (part === null) this.resume = resume;
    return typeof part === 'string' ? bytes(part) : part;
  }

  abort(): void {
    this.aborted++;
  }
}

describe('LocalCaller', () => {
  let env: ManualEnv;
  let calls: UnaryCall[];
  let streams: StreamCall[];
  let outcomes: (Uint8Array | RpcError)[];
  let seen: string[];
  let observed: string[];

  const table = new Map<string, Method>([
    [UNARY, { kind: 'unary', handle: (_request, call) => void calls.push(call) }],
    [
      STREAM,
      { kind: 'stream', streamType: 'bidi_stream', handle: (call) => void streams.push(call) },
    ],
  ]);

  beforeEach(() => {
    env = new ManualEnv();
    calls = [];
    streams = [];
    outcomes = [];
    seen = [];
    observed = [];
  });

  function caller(more: Partial<LocalSetup> = {}): LocalCaller {
    const observer = {
      started: (path: string) => observed.push(`started ${path}`),
      handled: (path: string, code: Status) => observed.push(`handled ${path} ${code}`),
      messageReceived: (path: string, size: number) => observed.push(`received ${path} ${size}`),
      messageSent: (path: string, size: number) => observed.push(`sent ${path} ${size}`),
    };
    return new LocalCaller({ table, env, observer, ...more });
  }

  function unary(options: LocalCallOptions = {}, request = bytes('ask')): UnaryCall {
    caller().unary(UNARY, request, options, (outcome) => outcomes.push(outcome));
    return calls[0] ?? expect.fail('the handler was not called');
  }

  function stream(options: LocalCallOptions = {}): { near: LocalStream; far: StreamCall } {
    const near = caller().stream(STREAM, options, {
      onMessage: (message) => seen.push(Buffer.from(message).toString()),
      onEnd: (error) => seen.push(error === null ? 'end' : `${error.code} ${error.message}`),
      onDrain: () => seen.push('drain'),
    });
    return { near, far: streams[0] ?? expect.fail('the handler was not called') };
  }

  function refusal(): string {
    expect(outcomes).to.have.length(1);
    const [outcome] = outcomes;
    return outcome instanceof RpcError ? `${outcome.code} ${outcome.message}` : 'no refusal';
  }

  describe('unary', () => {
    it('passes the reply on, once, and counts the call', () => {
      const call = unary();
      call.reply(bytes('yes'));
      call.reply(bytes('again'));
      call.fail(new RpcError(Status.internal, 'late'));
      expect(outcomes).to.eql([bytes('yes')]);
      expect(call.cancelled).to.equal(false);
      expect(observed).to.eql([
        `started ${UNARY}`,
        `received ${UNARY} 3`,
        `handled ${UNARY} 0`,
        `sent ${UNARY} 3`,
      ]);
    });

    it('gives the handler metadata, peer and deadline', () => {
      const deadlineMs = env.clock.monoMs() + 1000;
      const call = unary({ metadata: { hasleader: 'true' }, peer: '10.0.0.1:5', deadlineMs });
      expect(call.metadata('hasleader')).to.equal('true');
      expect(call.metadata('token')).to.equal(undefined);
      expect(call.peer).to.equal('10.0.0.1:5');
      expect(call.deadlineMs).to.equal(deadlineMs);
    });

    it('returns refusals by value', () => {
      unary().fail(new RpcError(Status.notFound, 'none'));
      expect(refusal()).to.equal('5 none');
    });

    it('refuses a method that is not in the table, and does not count it', () => {
      for (const path of ['/test.Svc/Other', '/other.Svc/Unary']) {
        caller().unary(path, bytes(''), {}, (outcome) => outcomes.push(outcome));
      }
      expect(outcomes).to.eql([
        new RpcError(Status.unimplemented, 'unknown method Other for service test.Svc'),
        new RpcError(Status.unimplemented, 'unknown service other.Svc'),
      ]);
      expect(observed).to.eql([]);
    });

    it('refuses a request longer than is accepted before the handler is asked', () => {
      const limited = caller({ maxReceiveBytes: 4 });
      limited.unary(UNARY, bytes('12345'), {}, (outcome) => outcomes.push(outcome));
      expect(refusal()).to.equal('8 grpc: received message larger than max (5 vs. 4)');
      expect(calls).to.eql([]);
    });

    it('cancels at the deadline', () => {
      const call = unary({ deadlineMs: env.clock.monoMs() + 600_000 });
      let told = 0;
      call.onCancel(() => told++);
      // Real time passes too, and may be long on a busy machine.
      env.advance(300_000);
      expect(told).to.equal(0);
      env.advance(300_000);
      expect(told).to.equal(1);
      expect(call.cancelled).to.equal(true);
      expect(refusal()).to.equal('4 context deadline exceeded');
      call.reply(bytes('late'));
      expect(outcomes).to.have.length(1);
    });

    it('ends a call whose deadline has passed before the handler runs', () => {
      const deadlineMs = env.clock.monoMs();
      caller().unary(UNARY, bytes(''), { deadlineMs }, (outcome) => outcomes.push(outcome));
      expect(refusal()).to.equal('4 context deadline exceeded');
      expect(calls).to.eql([]);
    });

    it('leaves no timer behind', () => {
      unary({ deadlineMs: env.clock.monoMs() + 1000 }).reply(bytes(''));
      env.advance(2000);
      expect(outcomes).to.have.length(1);
      expect(observed.filter((each) => each.startsWith('handled'))).to.have.length(1);
    });

    it('reports a cancellation to the handler', () => {
      const near = caller().unary(UNARY, bytes(''), {}, (outcome) => outcomes.push(outcome));
      let told = 0;
      calls[0]?.onCancel(() => told++);
      near.cancel();
      near.cancel();
      expect(told).to.equal(1);
      expect(refusal()).to.equal('1 context canceled');
    });

    it('gathers a reply in parts, also when they come late', () => {
      const parts = new Parts('one ', null, 'two ', null, 'three');
      unary().replyParts(13, parts);
      expect(outcomes).to.eql([]);
      parts.resume();
      parts.resume();
      expect(outcomes.map((each) => Buffer.from(each as Uint8Array).toString())).to.eql([
        'one two three',
      ]);
      expect(parts.aborted).to.equal(0);
    });

    for (const [what, part] of [
      ['shorter', 'nine char'],
      ['longer', 'eleven char'],
    ] as const) {
      it(`refuses a reply in parts that is ${what} than announced`, () => {
        const parts = new Parts(part);
        unary().replyParts(10, parts);
        expect(refusal()).to.equal('13 reply differs from its announced size');
        expect(parts.aborted).to.equal(1);
      });
    }

    it('aborts the source of the parts when the caller is gone', () => {
      const near = caller().unary(UNARY, bytes(''), {}, (outcome) => outcomes.push(outcome));
      const parts = new Parts('one', null);
      calls[0]?.replyParts(6, parts);
      near.cancel();
      expect(parts.aborted).to.equal(1);
      parts.resume();
      expect(refusal()).to.equal('1 context canceled');
    });

    it('hands over the parts of a reply to a caller that takes them at its own pace', () => {
      let taken: [number, PartSource] | undefined;
      const takeParts = (totalBytes: number, source: PartSource): void => {
        taken = [totalBytes, source];
      };
      const near = caller().unary(UNARY, bytes(''), { takeParts }, (outcome) =>
        outcomes.push(outcome),
      );
      const parts = new Parts('one', 'two');
      calls[0]?.replyParts(6, parts);
      expect(taken).to.eql([6, parts]);
      expect(outcomes).to.eql([]);
      expect(observed).to.include.members([`handled ${UNARY} 0`, `sent ${UNARY} 6`]);
      near.cancel();
      near.cancel();
      expect(parts.aborted).to.equal(1);
      expect(outcomes).to.eql([]);
    });

    it('refuses replies of 2^31 bytes and more, whole or in parts', () => {
      const parts = new Parts();
      unary().reply(ofLength(2 ** 31));
      calls = [];
      unary().replyParts(2 ** 31, parts);
      const text = 'grpc: trying to send message larger than max (2147483648 vs. 2147483647)';
      const error = new RpcError(Status.resourceExhausted, text);
      expect(outcomes).to.eql([error, error]);
      expect(parts.aborted).to.equal(1);
    });
  });

  describe('streams', () => {
    it('carries messages both ways, and ends', () => {
      const { near, far } = stream();
      far.onMessage((message) => far.write(message, bytes('!')));
      far.onHalfClose(() => far.end());
      near.send(bytes('a'));
      near.send(bytes('b'));
      near.halfClose();
      near.send(bytes('c'));
      expect(seen).to.eql(['a!', 'b!', 'end']);
      expect(observed).to.include.members([`sent ${STREAM} 2`, `handled ${STREAM} 0`]);
    });

    it('keeps messages and the half-close until the handler listens', () => {
      const { near, far } = stream();
      near.send(bytes('early'));
      near.halfClose();
      far.onHalfClose(() => far.end());
      expect(seen).to.eql([]);
      far.onMessage((message) => far.write(message));
      expect(seen).to.eql(['early', 'end']);
    });

    it('keeps the order of messages written while one is delivered', () => {
      const { near, far } = stream();
      far.onMessage((message) => {
        if (Buffer.from(message).toString() === 'first') near.send(bytes('second'));
        far.write(message);
      });
      near.send(bytes('first'));
      expect(seen).to.eql(['first', 'second']);
    });

    it('holds the handler back while the caller takes nothing', () => {
      const { near, far } = stream({ highWaterBytes: 8 });
      let drained = 0;
      far.onDrain(() => drained++);
      near.pause();
      expect(far.write(bytes('12345678'))).to.equal(true);
      expect(far.write(bytes('9'))).to.equal(false);
      expect(far.bufferedBytes).to.equal(9);
      far.end();
      expect(seen).to.eql([]);
      near.resume();
      expect(drained).to.equal(1);
      expect(far.bufferedBytes).to.equal(0);
      expect(seen).to.eql(['12345678', '9', 'end']);
    });

    it('holds the caller back while the handler takes nothing', () => {
      const { near, far } = stream({ highWaterBytes: 8 });
      const got: string[] = [];
      far.onMessage((message) => got.push(Buffer.from(message).toString()));
      far.onHalfClose(() => got.push('half'));
      expect(near.isHeldUp).to.equal(false);
      far.pause();
      expect(near.isHeldUp).to.equal(true);
      expect(near.send(bytes('123456789'))).to.equal(false);
      near.halfClose();
      expect(got).to.eql([]);
      far.resume();
      expect(got).to.eql(['123456789', 'half']);
      expect(seen).to.eql(['drain']);
    });

    it('delivers messages written before a refusal, then the refusal', () => {
      const { near, far } = stream();
      near.pause();
      far.write(bytes('last words'));
      far.fail(new RpcError(Status.unavailable, 'gone'));
      expect(far.write(bytes('more'))).to.equal(false);
      near.resume();
      expect(seen).to.eql(['last words', '14 gone']);
    });

    it('drops messages under way when the caller cancels', () => {
      const { near, far } = stream();
      let told = 0;
      far.onCancel(() => told++);
      near.pause();
      far.write(bytes('unread'));
      near.cancel();
      expect(told).to.equal(1);
      expect(far.cancelled).to.equal(true);
      near.send(bytes('more'));
      near.resume();
      expect(seen).to.eql(['1 context canceled']);
    });

    it('ends once when the caller cancels within a message', () => {
      const near = caller().stream(
        STREAM,
        {},
        {
          onMessage: () => near.cancel(),
          onEnd: (error) => seen.push(error?.message ?? 'end'),
        },
      );
      streams[0]?.write(bytes('a'));
      streams[0]?.write(bytes('b'));
      expect(seen).to.eql(['context canceled']);
    });

    it('cancels at the deadline', () => {
      const { far } = stream({ deadlineMs: env.clock.monoMs() + 50 });
      let told = 0;
      far.onCancel(() => told++);
      env.advance(50);
      expect(told).to.equal(1);
      expect(seen).to.eql(['4 context deadline exceeded']);
    });

    it('refuses a message of 2^31 bytes and notifies the handler', () => {
      const { far } = stream();
      let told = 0;
      far.onCancel(() => told++);
      expect(far.write(bytes('head'), ofLength(2 ** 31 - 4))).to.equal(false);
      expect(told).to.equal(1);
      const text = 'trying to send message larger than max (2147483648 vs. 2147483647)';
      expect(seen).to.eql([`8 ${text}`]);
    });

    it('refuses a message longer than is accepted', () => {
      const limited = caller({ maxReceiveBytes: 4 });
      const near = limited.stream(
        STREAM,
        {},
        { onMessage: () => {}, onEnd: (error) => seen.push(error?.message ?? 'end') },
      );
      expect(near.send(bytes('12345'))).to.equal(false);
      expect(streams[0]?.cancelled).to.equal(true);
      expect(seen).to.eql(['grpc: received message larger than max (5 vs. 4)']);
    });
  });
});

describe('Lane', () => {
  it('ends after a pause, and only then', () => {
    const events: string[] = [];
    const lane = new Lane(10, {
      onDrain: () => events.push('drain'),
      onEnd: () => events.push('end'),
    });
    lane.deliverTo((message) => events.push(Buffer.from(message).toString()));
    lane.pause();
    lane.push(bytes('a'));
    lane.end();
    expect(lane.push(bytes('b'))).to.equal(false);
    expect(events).to.eql([]);
    lane.resume();
    lane.end();
    expect(events).to.eql(['a', 'end']);
  });
});
