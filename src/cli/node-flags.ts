/**
 * How Node.js is to be started for a member. V8 reads the size of its young generation, and libuv that of its
 * thread pool, before any code of ours runs, so only whoever starts the process can set them: `mainstay up` does.
 */

/** Room for short-lived objects, in MiB: requests die before they would be copied to the old generation. */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=32'];

/** Threads for file operations and the storage engine. */
export const NODE_ENV: Readonly<Record<string, string>> = { UV_THREADPOOL_SIZE: '8' };
