/**
 * Names of the recorded server with ours: revisions, uids, generated names, allocated addresses and
 * ports. Both answers to a request are walked side by side to learn them.
 */
import type { JsonObject, JsonValue } from '../../../../src/cluster/api/object.js';

const UID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
/** Of a token that admission adds to pods. */
const VOLUME = /^kube-api-access-\S+$/;
const PORTS: ReadonlySet<string> = new Set(['nodePort', 'healthCheckNodePort']);
/** Also the name of the API's continue token. */
const TOKEN_FIELDS = ['v', 'rv', 'start'];

/** Recordings begin above this revision; those below are long past, in ours too. */
const FIRST_RECORDED = 1000;

export class Translation {
  /** Our revision when the recording begins. */
  begin = 0;
  private readonly revisions: Map<number, number>;
  /** Recorded revisions at which an object was written that ours has, too. */
  private readonly writes: Set<number>;
  private readonly texts: Map<string, string>;
  private readonly ports: Map<number, number>;
  /** Our times of creation, by recorded uid. */
  private readonly created: Map<string, string>;

  /** `other` is what is known already. */
  constructor(other?: Translation) {
    this.begin = other?.begin ?? 0;
    this.revisions = new Map(other?.revisions);
    this.writes = new Set(other?.writes);
    this.texts = new Map(other?.texts);
    this.ports = new Map(other?.ports);
    this.created = new Map(other?.created);
  }

  knowsWrite(recorded: string): boolean {
    return this.writes.has(Number(recorded));
  }

  learnWrite(recorded: string, ours: string | number): void {
    const number = Number(recorded);
    if (number === 0 || Number(ours) === 0 || this.writes.has(number)) return;
    this.writes.add(number);
    this.revisions.set(number, Number(ours));
  }

  private learnRevision(recorded: string, ours: string | number): void {
    const number = Number(recorded);
    if (number > 0 && Number(ours) > 0 && !this.revisions.has(number)) {
      this.revisions.set(number, Number(ours));
    }
  }

  learnText(recorded: string, ours: string): void {
    if (recorded !== '' && !this.texts.has(recorded)) this.texts.set(recorded, ours);
  }

  /** `request` is the body that both answers are to: what it names is not the server's choice. */
  learn(recorded: JsonValue, ours: JsonValue, request: JsonValue, name = ''): void {
    if (Array.isArray(recorded) && Array.isArray(ours)) {
      const given = Array.isArray(request) ? request : [];
      for (const [i, one] of recorded.entries())
        this.learn(one, ours[i] ?? null, given[i] ?? null, name);
      return;
    }
    if (isObject(recorded) && isObject(ours)) {
      const given = isObject(request) ? request : {};
      if (recorded['uid'] !== undefined) this.learnObject(recorded, ours, given);
      else if (recorded['resourceVersion'] !== undefined)
        this.learnRevision(text(recorded['resourceVersion']), text(ours['resourceVersion']));
      for (const [key, value] of Object.entries(recorded))
        this.learn(value ?? null, ours[key] ?? null, given[key] ?? null, key);
      return;
    }
    if (typeof recorded === 'number' && typeof ours === 'number') {
      if (PORTS.has(name) && request === null && !this.ports.has(recorded)) {
        this.ports.set(recorded, ours);
      }
    } else if (typeof recorded === 'string' && typeof ours === 'string') {
      if (VOLUME.test(recorded) && VOLUME.test(ours)) this.learnText(recorded, ours);
      if (name.startsWith('clusterIP') && request === null && ours.startsWith('10.96.')) {
        if (recorded.startsWith('10.96.')) this.learnText(recorded, ours);
      }
    }
  }

  private learnObject(recorded: JsonObject, ours: JsonObject, request: JsonObject): void {
    const { creationTimestamp } = ours;
    this.learnText(text(recorded['uid']), text(ours['uid']));
    if (typeof creationTimestamp === 'string' && !this.created.has(text(recorded['uid'])))
      this.created.set(text(recorded['uid']), creationTimestamp);
    this.learnWrite(text(recorded['resourceVersion']), text(ours['resourceVersion']));
    if (request['generateName'] !== undefined && request['name'] === undefined) {
      this.learnText(text(recorded['name']), text(ours['name']));
    }
  }

  /**
   * A recorded revision as ours: the nearest known one below it, and the distance to it, but not
   * beyond the nearest known one above; without one below, that of the beginning.
   */
  revision(recorded: number): number {
    const known = this.revisions.get(recorded);
    if (known !== undefined) return known;
    let below: number | undefined;
    let above = Infinity;
    for (const other of this.revisions.keys()) {
      if (other < recorded) below = Math.max(other, below ?? 0);
      else above = Math.min(other, above);
    }
    if (below === undefined && recorded < FIRST_RECORDED) return recorded;
    const ours =
      below === undefined ? this.begin : (this.revisions.get(below) ?? 0) + recorded - below;
    const limit = this.revisions.get(above) ?? Infinity;
    return Math.min(ours, this.writes.has(above) ? limit - 1 : limit);
  }

  text(recorded: string): string {
    const whole = this.texts.get(recorded);
    if (whole !== undefined) return whole;
    return recorded.replace(UID, (uid) => this.texts.get(uid) ?? uid);
  }

  /** A recorded body or answer in our terms. */
  value(recorded: JsonValue, name = ''): JsonValue {
    if (typeof recorded === 'string') {
      if (name === 'resourceVersion' && /^\d+$/.test(recorded))
        return String(this.revision(Number(recorded)));
      return this.text(recorded);
    }
    if (typeof recorded === 'number' && PORTS.has(name)) {
      return this.ports.get(recorded) ?? recorded;
    }
    if (Array.isArray(recorded)) return recorded.map((inner) => this.value(inner, name));
    if (!isObject(recorded)) return recorded;
    const entries = Object.entries(recorded).map(
      ([key, inner]) => [key, this.value(inner ?? null, key)] as const,
    );
    const creationTimestamp = this.created.get(text(recorded['uid']));
    return Object.fromEntries(
      creationTimestamp === undefined || recorded['creationTimestamp'] === undefined
        ? entries
        : [...entries, ['creationTimestamp', creationTimestamp] as const],
    );
  }

  query(recorded: Readonly<Record<string, string>>): Record<string, string> {
    return Object.fromEntries(
      Object.entries(recorded).map(([key, value]) => {
        if (key === 'continue') return [key, this.token(value)];
        return [key, text(this.value(value, key))];
      }),
    );
  }

  path(recorded: string): string {
    return recorded
      .split('/')
      .map((segment) => this.text(segment))
      .join('/');
  }

  private token(recorded: string): string {
    let token: JsonValue;
    try {
      token = JSON.parse(Buffer.from(recorded, 'base64url').toString()) as JsonValue;
    } catch {
      return recorded;
    }
    if (!isObject(token) || TOKEN_FIELDS.some((field) => token[field] === undefined)) {
      return recorded;
    }
    const translated = { ...token, rv: this.revision(Number(token['rv'])) };
    return Buffer.from(JSON.stringify(translated)).toString('base64url');
  }
}

/** A text or number as text; empty for anything else. */
export function text(value: JsonValue | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
