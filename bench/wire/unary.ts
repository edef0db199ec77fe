import { Connection } from './connection.js';

/** Single calls for set-up and checks, as promises. */

export class CallFailed extends Error {
  readonly status: number;
  constructor(path: string, status: number, text: string) {
    super(`${path}: status ${status} ${text}`);
    this.status = status;
  }
}

/** Sends one request and resolves with the bytes of the answer. */
export function call(connection: Connection, path: string, body: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let answer: Uint8Array | null = null;
    connection.request(path, body, {
      discard: false,
      message: (buf, start, end) => {
        answer = Uint8Array.from(buf.subarray(start, end));
      },
      ended: (status, text) => {
        if (status === 0 && answer !== null) resolve(answer);
        else reject(new CallFailed(path, status, text));
      },
    });
  });
}

/** One call on a connection of its own. */
export async function callOnce(port: number, path: string, body: Uint8Array): Promise<Uint8Array> {
  const connection = await Connection.open('127.0.0.1', port);
  try {
    return await call(connection, path, body);
  } finally {
    connection.close();
  }
}
