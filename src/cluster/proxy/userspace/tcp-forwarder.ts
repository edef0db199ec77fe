import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Chooser } from './chooser.js';
import type { Forwarder, ForwarderSetup } from './forwarder.js';

const CONNECT_TIMEOUT_MS = 5_000;
const MAX_CONNECTIONS = 4_096;

/** Listens, and pipes each connection to an endpoint. Rejects when it cannot listen. */
export async function openTcpForwarder({ env, door, way }: ForwarderSetup): Promise<Forwarder> {
  const chooser = new Chooser(env);
  const open = new Set<Socket>();
  const hold = (socket: Socket): void => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  };
  const serve = async (client: Socket): Promise<void> => {
    hold(client);
    client.on('error', () => client.destroy());
    const { targets, affinitySeconds } = forwarder.way;
    const from = client.remoteAddress ?? '';
    for (const target of chooser.order(targets, from, affinitySeconds)) {
      const endpoint = connect({ host: target.ip, port: target.port, allowHalfOpen: true });
      hold(endpoint);
      const timer = env.after(CONNECT_TIMEOUT_MS, () => endpoint.destroy(new Error('timed out')));
      const isConnected = await once(endpoint, 'connect').then(
        () => true,
        () => false,
      );
      timer.cancel();
      if (client.destroyed) endpoint.destroy();
      if (!isConnected || client.destroyed) continue;
      chooser.remember(from, target, affinitySeconds);
      join(client, endpoint);
      return;
    }
    client.resetAndDestroy();
  };
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    void serve(client);
  });
  server.maxConnections = MAX_CONNECTIONS;
  const forwarder: Forwarder = {
    way,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
  server.listen(door.port, door.ip);
  await once(server, 'listening');
  return forwarder;
}

/** Each direction ends by itself; an error of one side is the end of both. */
function join(client: Socket, endpoint: Socket): void {
  endpoint.setNoDelay(true);
  client.pipe(endpoint);
  endpoint.pipe(client);
  endpoint.on('error', () => client.destroy());
  client.on('close', () => endpoint.destroy());
  endpoint.on('close', () => client.destroy());
}
