import type { Engine, EngineFactory } from '../../src/storage/engine.js';

/** Opens an engine. */
export function open(factory: EngineFactory, dir: string): Promise<Engine> {
  return new Promise((resolve, reject) => {
    factory(dir, (error, engine) =>
      engine === null ? reject(error ?? new Error('no engine')) : resolve(engine),
    );
  });
}

/** Waits for a callback that tells of an error, or of none. */
export function call(work: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) =>
    work((error) => (error === null ? resolve() : reject(error))),
  );
}
