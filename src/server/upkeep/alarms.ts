import { decodeAlarmMember, encodeAlarmMember, type AlarmMember } from '../../gen/rpc.js';
import { Bucket, type Backend } from '../../storage/backend.js';

export const AlarmType = { none: 0, noSpace: 1, corrupt: 2 } as const;

const NAMES = ['NONE', 'NOSPACE', 'CORRUPT'];

/** As the API spells it; the number of an unknown one. */
export function alarmName(type: number): string {
  return NAMES[type] ?? String(type);
}

const EMPTY = new Uint8Array(0);

/** The replicated set of (member, alarm); persisted in the `alarm` bucket as encoded AlarmMember keys. */
export class Alarms {
  private readonly active = new Map<string, AlarmMember>();
  private spaceCount = 0;
  private corruptCount = 0;

  get noSpace(): boolean {
    return this.spaceCount > 0;
  }

  get corrupt(): boolean {
    return this.corruptCount > 0;
  }

  /** Alarms of one type, or all for `AlarmType.none`, in a fixed order. */
  list(type: number): AlarmMember[] {
    const all = [...this.active.values()].filter(
      (a) => type === AlarmType.none || a.alarm === type,
    );
    return all.sort((a, b) =>
      a.alarm === b.alarm ? (a.memberID < b.memberID ? -1 : 1) : a.alarm - b.alarm,
    );
  }

  /** Forgets everything, to be loaded anew after a snapshot. */
  clear(): void {
    this.active.clear();
    this.count();
  }

  load(key: Uint8Array): void {
    const alarm = decodeAlarmMember(key);
    this.active.set(nameOf(alarm), alarm);
    this.count();
  }

  activate(backend: Backend, alarm: AlarmMember): AlarmMember[] {
    if (alarm.alarm === AlarmType.none) return [];
    if (!this.active.has(nameOf(alarm))) {
      this.active.set(nameOf(alarm), alarm);
      backend.put(Bucket.alarm, encodeAlarmMember(alarm), EMPTY);
      this.count();
    }
    return [alarm];
  }

  deactivate(backend: Backend, alarm: AlarmMember): AlarmMember[] {
    if (!this.active.delete(nameOf(alarm))) return [];
    backend.delete(Bucket.alarm, encodeAlarmMember(alarm));
    this.count();
    return [alarm];
  }

  private count(): void {
    this.spaceCount = this.list(AlarmType.noSpace).length;
    this.corruptCount = this.list(AlarmType.corrupt).length;
  }
}

function nameOf(a: AlarmMember): string {
  return `${a.memberID}/${a.alarm}`;
}
