import type { Logger } from '../../base/observe/logger.js';
import { durationText } from '../../base/observe/units.js';
import type { Entry } from '../../raft/types.js';
import { RpcError } from '../../rpc/service.js';
import type { ApplyResult } from '../apply/state-machine.js';
import { bodyOf, kindOf } from '../contract/command.js';
import type { MemberObserver } from '../contract/member-observer.js';
import { commandText } from '../metrics/command-text.js';

/**
 * Logs and counts commands whose apply took longer than `warningApplyMs`, with the line and fields of etcd
 * (server/etcdserver/txn/util.go).
 */
export class SlowApplyLog {
  /** Infinity for none. */
  readonly limitMs: number;
  private readonly log: Logger;
  private readonly observer: MemberObserver | undefined;

  constructor(options: {
    readonly log: Logger;
    readonly warningApplyMs?: number;
    readonly observer?: MemberObserver;
  }) {
    this.log = options.log;
    this.observer = options.observer;
    this.limitMs = options.warningApplyMs ?? Infinity;
  }

  report(entry: Entry, ms: number, result: ApplyResult): void {
    const { index, data } = entry;
    this.observer?.appliedSlowly();
    this.log.warn('apply request took too long', {
      took: durationText(ms),
      'expected-duration': durationText(this.limitMs),
      prefix: '',
      request: commandText(kindOf(data), bodyOf(data)),
      // A reply that is read later has no size yet.
      response: result instanceof Uint8Array ? `size:${result.length}` : '',
      ...(result instanceof RpcError ? { error: result.message } : {}),
      index,
    });
  }
}
