import { expect } from 'chai';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { encodeHealthCheckResponse } from '../../../../src/gen/health.js';
import type { HttpTarget } from '../../../../src/cluster/kubelet/probes/network.js';
import { networkProbes } from '../../../../src/cluster/kubelet/probes/network.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';

describe('kubelet: probes over the network', () => {
  const probes = networkProbes(systemClusterEnv(), 'kube-probe/1.36');
  let servers: net.Server[] = [];

  afterEach(() => {
    for (const server of servers) server.close();
    servers = [];
  });

  const listen = async (server: net.Server): Promise<number> => {
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return (server.address() as AddressInfo).port;
  };

  const target = (port: number, path: string, timeoutMs = 2000): HttpTarget => ({
    host: '127.0.0.1',
    port,
    path,
    isTls: false,
    headers: [{ name: 'X-Mine', value: 'yes' }],
    timeoutMs,
  });

  async function failure(work: Promise<unknown>): Promise<string> {
    try {
      await work;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    throw new Error('it succeeded');
  }

  it('asks over HTTP and follows redirects of the same host', async () => {
    const seen: http.IncomingHttpHeaders[] = [];
    const port = await listen(
      http.createServer((request, response) => {
        seen.push(request.headers);
        if (request.url === '/') response.writeHead(302, { location: '/there?x=1' }).end();
        else if (request.url === '/away')
          response.writeHead(301, { location: 'http://example.invalid/' }).end();
        else if (request.url === '/loop') response.writeHead(301, { location: '/loop' }).end();
        else response.writeHead(503).end('busy');
      }),
    );
    expect(await probes.http(target(port, '/'))).to.deep.equal({
      status: 503,
      body: 'busy',
      leadsAway: false,
    });
    expect(seen[0]).to.include({ 'user-agent': 'kube-probe/1.36', 'x-mine': 'yes' });
    expect((await probes.http(target(port, '/away'))).leadsAway).to.be.true;
    expect(await failure(probes.http(target(port, '/loop')))).to.equal(
      'stopped after 10 redirects',
    );
  });

  it('gives up on servers that are silent or away', async () => {
    const silent = await listen(net.createServer());
    const url = `http://127.0.0.1:${silent}/`;
    expect(await failure(probes.http(target(silent, '/', 50)))).to.equal(
      `Get "${url}": context deadline exceeded`,
    );
    const closed = await listen(net.createServer());
    servers.at(-1)?.close();
    expect(await failure(probes.tcp('127.0.0.1', closed, 2000))).to.equal(
      `dial tcp 127.0.0.1:${closed}: connect: connection refused`,
    );
    expect(await failure(probes.http(target(closed, '/')))).to.equal(
      `Get "http://127.0.0.1:${closed}/": dial tcp 127.0.0.1:${closed}: connect: connection refused`,
    );
    await probes.tcp('127.0.0.1', silent, 2000);
  });

  it('asks the health service of gRPC', async () => {
    let status: 1 | 2 = 1;
    const server = http2.createServer();
    server.on('stream', (stream, headers) => {
      if (headers[':path'] !== '/grpc.health.v1.Health/Check') return stream.close();
      const message = encodeHealthCheckResponse({ status });
      const frame = Buffer.alloc(5 + message.length);
      frame.writeUInt32BE(message.length, 1);
      frame.set(message, 5);
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(frame);
    });
    const port = await listen(server);
    expect(await probes.grpc('127.0.0.1', port, '', 2000)).to.equal(1);
    status = 2;
    expect(await probes.grpc('127.0.0.1', port, 'x', 2000)).to.equal(2);
    const silent = await listen(net.createServer());
    expect(await failure(probes.grpc('127.0.0.1', silent, '', 50))).to.equal(
      'timeout: health rpc did not complete',
    );
  });
});
