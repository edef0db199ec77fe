/**
 * Watches the process that started this one over an IPC channel, as `mainstay up` does. `kill -9` of that process
 * closes the channel and leaves no other trace.
 */
export class ParentWatch {
  private onGone: () => void = endProcess;

  /** Watches from now on. Until `whenGone` is called this process simply ends with its parent. */
  constructor() {
    const wasStartedOverChannel = process.send !== undefined;
    if (!wasStartedOverChannel) return;
    // The end of a channel is reported once: it may have come while this program was loaded.
    if (!process.connected) endProcess();
    process.once('disconnect', () => this.onGone());
  }

  /** From now on `callback` decides what follows when the parent is gone. */
  whenGone(callback: () => void): void {
    this.onGone = callback;
  }
}

/** A member that has not started yet has promised nothing, and may end at once. */
function endProcess(): void {
  process.exit(1);
}
