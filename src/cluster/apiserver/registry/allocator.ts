import type { KubeObject } from '../../api/object.js';

/**
 * Values of an object that the server gives out and that no other object may have at the same
 * time: addresses and ports of services. Claims on them are written with the object (ObjectStore).
 */
export interface Allocator {
  /**
   * Fills in what `next` needs, and keeps what `old` has. `refused` are claims that others turned
   * out to hold. In a dry run, which takes nothing, ports of the client's choice are not checked.
   * Throws: ApiError 422 when a value that the client chose is taken, 500 when none is left.
   */
  allocate(
    next: KubeObject,
    old: KubeObject | undefined,
    refused: ReadonlySet<string>,
    isDryRun: boolean,
  ): void;
  /** All claims of an object, each once. */
  claimsOf(object: KubeObject): string[];
}
