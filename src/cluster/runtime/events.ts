import type { ContainerEvent } from './runtime.js';

/** Those who want to hear of containers. */
export class Events {
  private readonly listeners = new Set<(event: ContainerEvent) => void>();

  listen(listener: (event: ContainerEvent) => void): () => void {
    // Wrapped, so that the same function may listen twice.
    const own = (event: ContainerEvent): void => listener(event);
    this.listeners.add(own);
    return () => this.listeners.delete(own);
  }

  emit(event: ContainerEvent): void {
    for (const listener of this.listeners) listener(event);
  }
}
