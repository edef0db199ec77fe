import { Backend } from '../../../src/storage/backend.js';
import { Lessor } from '../../../src/lease/lessor.js';
import { Store } from '../../../src/mvcc/store.js';
import { WatchHub } from '../../../src/watch/hub.js';
import { RpcError, type UnaryCall } from '../../../src/rpc/service.js';
import { applyCommand, COMMANDS } from '../../../src/server/apply/commands.js';
import { StateMachine } from '../../../src/server/apply/state-machine.js';
import { HeaderEncoder } from '../../../src/server/contract/header.js';
import type { CommandKind } from '../../../src/server/contract/command.js';
import type { DeferredReply, Reply } from '../../../src/server/contract/roles.js';
import type { ReadRoles } from '../../../src/server/reads/range-read.js';
import { SteppedEnv } from '../../mvcc/stepped-env.js';
import { Call, promptSlices, slowSlices } from '../reads/slow-call.js';
import { MemoryEngine } from '../../support/memory-engine.js';

export const CLUSTER_ID = 0xfedc_ba98_7654_3210n;
export const MEMBER_ID = 0x8000_0000_0000_0001n;
export const TERM = 7;

const NO_REPLY = new Uint8Array(0);

/** Reads a response within the call. */
function readNow(reply: DeferredReply): Uint8Array {
  const call = new Call();
  reply.answer(promptSlices(), call as unknown as UnaryCall);
  call.takeAll();
  return call.bytes;
}

/** Reads at the state of a machine, one step a turn, that need no quorum. */
export function slowReads({ env, store, lessor }: MachineBench): ReadRoles {
  return {
    reads: {
      slices: slowSlices(env),
      store,
      linearizable: (done) => done(null),
      whenReadable: (done) => done(),
    },
    lessor,
    headers: headersOf(store),
  };
}

function headersOf(store: Store): HeaderEncoder {
  return new HeaderEncoder({
    clusterId: CLUSTER_ID,
    memberId: MEMBER_ID,
    revision: () => store.currentRevision,
    term: () => TERM,
  });
}

/** A state machine on an engine in memory, fed by hand. */
export class MachineBench {
  readonly env: SteppedEnv;
  readonly backend: Backend;
  readonly lessor = new Lessor({ minTtlSec: 1 });
  readonly store: Store;
  readonly hub: WatchHub;
  readonly machine: StateMachine;
  /** Response of the last command that succeeded. */
  private lastReply: Reply = NO_REPLY;
  private index = 0;

  constructor(seed: number) {
    const env = new SteppedEnv(seed);
    const backend = new Backend({ engine: new MemoryEngine(env), env });
    this.env = env;
    this.backend = backend;
    this.store = env.wait<Store>((done) => {
      Store.open(
        { backend, env, onLease: (key, lease) => this.lessor.attach(key, lease) },
        (error, store) => {
          if (store === null) throw error ?? new Error('no store');
          done(null, store);
        },
      );
    });
    this.hub = new WatchHub({ env, source: this.store });
    this.machine = new StateMachine({
      store: this.store,
      lessor: this.lessor,
      hub: this.hub,
      headers: headersOf(this.store),
    });
  }

  /** The encoded response of the last command that succeeded; read now, where that is still to be done. */
  get reply(): Uint8Array {
    const reply = this.takeReply();
    if (!(reply instanceof Uint8Array)) return readNow(reply);
    this.lastReply = reply;
    return reply;
  }

  /** The response itself, which the caller is to read. */
  takeReply(): Reply {
    const reply = this.lastReply;
    this.lastReply = NO_REPLY;
    return reply;
  }

  /** Applies one command as an entry of its own; the reply is meaningful only on success and when wanted. */
  apply(
    kind: CommandKind,
    request: Uint8Array,
    wantReply = true,
    entryTerm = TERM,
  ): RpcError | null {
    const { machine } = this;
    const command = COMMANDS[kind];
    const decoded = command.decode(request);
    const decision = command.decide?.(machine, decoded);
    while (decision !== undefined && !decision.step());
    const result = applyCommand(machine, command, decision ?? decoded, wantReply, entryTerm);
    this.backend.setApplied(++this.index, entryTerm);
    this.backend.flush();
    const unread = this.takeReply();
    if (!(unread instanceof Uint8Array)) readNow(unread);
    this.lastReply = result instanceof RpcError ? NO_REPLY : result;
    return result instanceof RpcError ? result : null;
  }

  hash(): string {
    const { hash, compactRevision, hashRevision } = this.env.wait<{
      hash: number;
      compactRevision: number;
      hashRevision: number;
    }>((done) => {
      this.store.hashKV(0, (error, result) => {
        if (result === null) throw new Error(String(error));
        done(null, result);
      });
    });
    return `${hash} at ${hashRevision}, compacted ${compactRevision}`;
  }
}
