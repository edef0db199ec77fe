/** A connection to a port on a pod's loopback, made by a helper process inside its network namespace. */
import { spawn } from 'node:child_process';
import { Duplex } from 'node:stream';
import { RuntimeError } from '../runtime.js';

/** After one side has ended, the other may still send for so long. */
const HALF_CLOSED_S = 3600;
const CONNECTED = 'starting data transfer loop';

export interface ForwardTools {
  readonly socat: string | undefined;
  readonly nsenter: string;
}

/**
 * `namespacePath` is undefined for the node's network. Rejects with RuntimeError: Internal when
 * nobody listens.
 */
export function forwardPort(
  namespacePath: string | undefined,
  port: number,
  tools: ForwardTools,
): Promise<Duplex> {
  const { socat, nsenter } = tools;
  if (socat === undefined) {
    const words = 'port-forward needs the program socat on the node (Debian package socat)';
    return Promise.reject(new RuntimeError('Unimplemented', words));
  }
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    return Promise.reject(new RuntimeError('InvalidArgument', `invalid port ${port}`));
  }
  // Twice -d: notices, by which a connection that stands is known. The end of what the pod sends is
  // passed on at once, though this side may still send.
  const ours = 'STDIN!!STDOUT,shut-close';
  const call = [socat, '-d', '-d', '-t', String(HALF_CLOSED_S), ours, `TCP4:127.0.0.1:${port}`];
  const [program = '', ...args] =
    namespacePath === undefined ? call : [nsenter, `--net=${namespacePath}`, ...call];
  const child = spawn(program, args, { stdio: 'pipe' });
  return new Promise((resolve, reject) => {
    let words = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      words = `${words}${text}`.slice(-2000);
      if (!text.includes(CONNECTED)) return;
      const stream = Duplex.from({ readable: child.stdout, writable: child.stdin });
      stream.on('close', () => child.kill());
      resolve(stream);
    });
    child.stdin.on('error', () => undefined);
    child.on('error', (error) => reject(new RuntimeError('Internal', error.message)));
    child.on('close', () => {
      const refused = /Connection refused/.test(words) ? 'connection refused' : 'connection failed';
      reject(new RuntimeError('Internal', `connect to port ${port} inside the pod: ${refused}`));
    });
  });
}
