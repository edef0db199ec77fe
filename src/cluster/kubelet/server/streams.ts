/** exec, attach and port-forward of the kubelet's API: upgrades to WebSocket. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { WebSocketServer, createWebSocketStream } from 'ws';
import type { ClusterEnv } from '../../env.js';
import type { ContainerRuntime, Session } from '../../runtime/runtime.js';
import {
  CHANNEL_PROTOCOLS,
  chooseProtocol,
  offeredProtocols,
} from '../../streams/channel-protocol.js';
import { PORT_FORWARD_TUNNEL, servePortForward } from '../../streams/port-forward.js';
import { serveSession } from './channel-session.js';
import { HttpProblem } from './http-problem.js';
import type { NodeView } from './node-view.js';
import type { StreamRoute } from './routes.js';
import { isSet } from './routes.js';

/** The tunnel's name holds a slash, which no token may: the library gets this in its place. */
const TUNNEL_ALIAS = 'portforward-tunnel';

export interface StreamServices {
  readonly env: ClusterEnv;
  readonly runtime: ContainerRuntime;
  readonly view: NodeView;
}

export class Streams {
  readonly #services: StreamServices;
  readonly #server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    handleProtocols: (offered) =>
      chooseProtocol([...offered], [...CHANNEL_PROTOCOLS, TUNNEL_ALIAS]) ?? false,
  });
  readonly #open = new Set<WebSocket>();

  constructor(services: StreamServices) {
    this.#services = services;
    this.#server.on('headers', (headers) => {
      const at = headers.findIndex((line) => line.endsWith(`: ${TUNNEL_ALIAS}`));
      if (at >= 0) headers[at] = `Sec-WebSocket-Protocol: ${PORT_FORWARD_TUNNEL}`;
    });
  }

  /** Answers an upgrade. Rejects with HttpProblem before it took the socket. */
  async serve(
    route: StreamRoute,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    const offered = offeredProtocols(request.headers['sec-websocket-protocol']);
    if (route.kind === 'portForward')
      return this.#portForward(route, request, socket, head, offered);
    const status = await this.#services.view.running(route.name, route.container);
    if (status === undefined) throw new HttpProblem(500, notRunning(route));
    checkUpgrade(request);
    if (chooseProtocol(offered, CHANNEL_PROTOCOLS) === undefined) {
      throw new HttpProblem(400, `none of the protocols is spoken here: ${offered.join(', ')}`);
    }
    const { query } = route;
    const wishes = {
      stdin: isSet(query, 'input') || isSet(query, 'stdin'),
      stdout: isSet(query, 'output') || isSet(query, 'stdout'),
      stderr: isSet(query, 'error') || isSet(query, 'stderr'),
    };
    if (!wishes.stdin && !wishes.stdout && !wishes.stderr) {
      throw new HttpProblem(400, 'you must specify at least 1 of stdin, stdout, stderr');
    }
    const command = query.getAll('command');
    if (route.kind === 'exec' && command.length === 0) {
      throw new HttpProblem(400, 'you must specify a command');
    }
    const { runtime } = this.#services;
    const options = { stdin: wishes.stdin, tty: isSet(query, 'tty') };
    const begin = (): Promise<Session> =>
      route.kind === 'exec'
        ? runtime.exec(status.id, command, options)
        : runtime.attach(status.id, options);
    const webSocket = await this.#upgrade(request, socket, head);
    void serveSession(webSocket, begin, wishes);
  }

  /** Ends all streams that are open. */
  close(): void {
    for (const socket of this.#open) socket.terminate();
    this.#server.close();
  }

  async #portForward(
    route: StreamRoute,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    offered: readonly string[],
  ): Promise<void> {
    checkUpgrade(request);
    if (!offered.includes(PORT_FORWARD_TUNNEL)) {
      throw new HttpProblem(400, `port forwarding needs the protocol ${PORT_FORWARD_TUNNEL}`);
    }
    const { env, runtime, view } = this.#services;
    const sandboxId = await view.sandboxId(route.name);
    request.headers['sec-websocket-protocol'] = TUNNEL_ALIAS;
    const webSocket = await this.#upgrade(request, socket, head);
    const tunnel = createWebSocketStream(webSocket);
    tunnel.on('error', () => undefined);
    servePortForward(env, tunnel, async (port) => {
      const target = await runtime.portForward(sandboxId, port);
      target.on('error', () => undefined);
      return target;
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<WebSocket> {
    return new Promise((resolve) => {
      this.#server.handleUpgrade(request, socket, head, (webSocket) => {
        this.#open.add(webSocket);
        webSocket.on('close', () => this.#open.delete(webSocket));
        webSocket.on('error', () => undefined);
        resolve(webSocket);
      });
    });
  }
}

/** In the kubelet's words, which kubectl shows. */
function notRunning({ kind, name, container }: StreamRoute): string {
  return kind === 'attach'
    ? `container ${container} not found in pod ${name.pod}_${name.namespace}`
    : `container not found ("${container}")`;
}

function checkUpgrade({ headers }: IncomingMessage): void {
  const { upgrade = '' } = headers;
  if (upgrade.toLowerCase() === 'websocket') return;
  throw new HttpProblem(400, `unable to upgrade to ${upgrade}: only websocket is served`);
}
