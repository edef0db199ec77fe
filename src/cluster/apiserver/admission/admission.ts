/**
 * Admission: what the server adds to objects, and refuses, beyond a kind's own rules. Plugins run
 * in a fixed order, all mutations before all validations (k8s.io/apiserver/pkg/admission).
 */
import type { Kind } from '../../api/kinds/kind.js';
import type { KubeObject } from '../../api/object.js';
import type { User } from '../pipeline/exchange.js';
import type { StoredObject } from '../storage/stored-object.js';

export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly kind: Kind;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly user: User;
  /** Object to be written; plugins change it in place. Undefined for DELETE. */
  readonly object: KubeObject | undefined;
  /** Object that an UPDATE replaces. */
  readonly old: KubeObject | undefined;
}

export interface AdmissionPlugin {
  readonly name: string;
  readonly mutate?: (request: AdmissionRequest) => Promise<void> | void;
  readonly validate?: (request: AdmissionRequest) => Promise<void> | void;
}

/** Objects that plugins may look up. */
export interface ObjectLookup {
  /** From the cache, and from the store if the cache lacks it. */
  find(kind: Kind, key: string): Promise<StoredObject | undefined>;
  /** From the store. */
  read(kind: Kind, key: string): Promise<StoredObject | undefined>;
}

export class Admission {
  private readonly plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.plugins = plugins;
  }

  async mutate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.plugins) await plugin.mutate?.(request);
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.plugins) await plugin.validate?.(request);
  }
}
