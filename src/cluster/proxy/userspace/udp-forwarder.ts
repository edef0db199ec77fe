import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { ClusterTimer } from '../../env.js';
import type { Target } from '../service-table.js';
import { Chooser } from './chooser.js';
import type { Forwarder, ForwarderSetup } from './forwarder.js';

/** A client that is silent for so long, both ways, is forgotten. */
const IDLE_MS = 60_000;
const MAX_CLIENTS = 1_024;

interface Flow {
  readonly target: Target;
  readonly socket: Socket;
  timer: ClusterTimer;
}

/** Listens, and gives each client a socket to an endpoint of its own. Rejects when it cannot listen. */
export async function openUdpForwarder({ env, door, way }: ForwarderSetup): Promise<Forwarder> {
  const chooser = new Chooser(env);
  const server = createSocket('udp4');
  const flows = new Map<string, Flow>();

  const end = (client: string): void => {
    const flow = flows.get(client);
    flows.delete(client);
    flow?.timer.cancel();
    flow?.socket.close();
  };
  const touch = (client: string, flow: Flow): void => {
    flow.timer.cancel();
    flow.timer = env.after(IDLE_MS, () => end(client));
  };
  const begin = (address: string, port: number, target: Target): Flow => {
    const client = `${address}:${port}`;
    const socket = createSocket('udp4');
    const flow = { target, socket, timer: env.after(IDLE_MS, () => end(client)) };
    socket.on('message', (message) => {
      touch(client, flow);
      server.send(message, port, address);
    });
    // Nobody listens there: the client's next packet gets another endpoint.
    socket.on('error', () => end(client));
    socket.connect(target.port, target.ip);
    flows.set(client, flow);
    return flow;
  };
  server.on('message', (message, { address, port }) => {
    const { targets, affinitySeconds } = forwarder.way;
    const client = `${address}:${port}`;
    let flow = flows.get(client);
    if (flow === undefined) {
      const [target] = chooser.order(targets, address, affinitySeconds);
      if (target === undefined || flows.size >= MAX_CLIENTS) return;
      chooser.remember(address, target, affinitySeconds);
      flow = begin(address, port, target);
    }
    touch(client, flow);
    const { socket } = flow;
    const send = (): void => {
      if (flows.get(client)?.socket === socket) socket.send(message);
    };
    if (isConnected(socket)) send();
    else socket.once('connect', send);
  });

  const forwarder: Forwarder = {
    get way() {
      return way;
    },
    set way(next) {
      way = next;
      const isTarget = ({ ip, port }: Target): boolean =>
        next.targets.some((target) => target.ip === ip && target.port === port);
      for (const [client, { target }] of flows) if (!isTarget(target)) end(client);
    },
    close: async () => {
      for (const client of [...flows.keys()]) end(client);
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
  server.bind(door.port, door.ip);
  await once(server, 'listening');
  server.on('error', () => undefined);
  return forwarder;
}

function isConnected(socket: Socket): boolean {
  try {
    socket.remoteAddress();
    return true;
  } catch {
    return false;
  }
}
