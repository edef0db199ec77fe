import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

export const HOST = '127.0.0.1';
const HIGHEST_PORT = 65_535;

/** Those of `ports` that something else on the loopback address has, or that are no ports. */
export async function takenPorts(ports: readonly number[]): Promise<number[]> {
  const areFree = await Promise.all(ports.map(isFree));
  return ports.filter((_, i) => areFree[i] !== true);
}

/** Ports that are free now; all are held until the last is found, so that they differ. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(
    servers.map((server) => new Promise<void>((done) => server.listen(0, HOST, done))),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function isFree(port: number): Promise<boolean> {
  if (port > HIGHEST_PORT) return Promise.resolve(false);
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, HOST, () => server.close(() => done(true)));
  });
}
