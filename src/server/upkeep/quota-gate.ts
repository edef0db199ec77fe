import { encodeAlarmRequest } from '../../gen/rpc.js';
import type { Logger } from '../../base/observe/logger.js';
import type { MemberId } from '../../raft/types.js';
import { CommandKind } from '../contract/command.js';
import type { QuotaView } from '../contract/roles.js';
import { AlarmType, type Alarms } from './alarms.js';
import { addedBytes, mostAddedBytes } from './quota.js';

export interface QuotaGateParts {
  readonly log: Logger;
  readonly memberId: MemberId;
  /** Infinity for none. */
  readonly quotaBytes: number;
  readonly usedBytes: () => number;
  readonly alarms: Alarms;
}

export interface AlarmCommand {
  readonly kind: CommandKind;
  readonly request: Uint8Array;
}

const ACTIVATE = 1;

/** Refuses commands that would take the backend over its quota, and raises the NOSPACE alarm for them. */
export class QuotaGate implements QuotaView {
  private readonly p: QuotaGateParts;
  /** They wait for the alarm that is on its way; undefined while none is. */
  private waiting: (() => void)[] | undefined = undefined;

  constructor(parts: QuotaGateParts) {
    this.p = parts;
  }

  get quotaBytes(): number {
    return this.p.quotaBytes;
  }

  refuses(kind: CommandKind, request: Uint8Array): boolean {
    const most = mostAddedBytes(kind, request.length);
    if (most === 0) return false;
    const room = this.p.quotaBytes - this.p.usedBytes();
    if (most < room) return false;
    const added = addedBytes(kind, request);
    return added > 0 && added >= room;
  }

  /**
   * Has the alarm raised through `propose` unless it is raised or on its way; `done` runs when that was decided. An
   * alarm that is lost is raised by the next command that finds no room.
   */
  raiseAlarm(propose: (alarm: AlarmCommand, done: () => void) => void, done: () => void): void {
    if (this.p.alarms.noSpace) return done();
    if (this.waiting !== undefined) {
      this.waiting.push(done);
      return;
    }
    this.waiting = [done];
    this.p.log.warn('the backend is over its quota: raising the NOSPACE alarm', {
      'quota-size-bytes': this.p.quotaBytes,
    });
    const request = encodeAlarmRequest({
      action: ACTIVATE,
      memberID: this.p.memberId,
      alarm: AlarmType.noSpace,
    });
    propose({ kind: CommandKind.alarm, request }, () => {
      const waiting = this.waiting ?? [];
      this.waiting = undefined;
      for (const callback of waiting) callback();
    });
  }
}
