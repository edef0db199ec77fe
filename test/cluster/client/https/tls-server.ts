import {
  createSecureServer,
  type Http2SecureServer,
  type Http2Session,
  type ServerHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  issueAuthority,
  issueCertificate,
  type KeyPair,
} from '../../../../src/cluster/pki/issuer.js';
import type { ClusterAccess } from '../../../../src/cluster/client/kubeconfig.js';

/** One request, as a test's server sees it. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Common name of the client's certificate. */
  readonly user: string | undefined;
  readonly session: Http2Session;
}

export type Respond = (stream: ServerHttp2Stream, received: Received) => void;

export interface TlsServer {
  readonly access: ClusterAccess;
  readonly received: Received[];
  readonly sessions: Set<Http2Session>;
  /** Answers later requests. */
  respond: Respond;
  close(): Promise<void>;
}

export interface Certificates {
  readonly authority: KeyPair;
  readonly server: KeyPair;
  readonly client: KeyPair;
}

export async function certificates(): Promise<Certificates> {
  const nowMs = Date.now();
  const validity = { fromMs: nowMs - 60_000, untilMs: nowMs + 3_600_000 };
  const authority = await issueAuthority('test-ca', validity);
  const subject = { organizations: [], names: ['api.test'], ips: ['127.0.0.1'] };
  const [server, client] = await Promise.all([
    issueCertificate(authority, { ...subject, commonName: 'server', usages: ['server'] }, validity),
    issueCertificate(authority, { ...subject, commonName: 'jane', usages: ['client'] }, validity),
  ]);
  return { authority, server, client };
}

export function json(stream: ServerHttp2Stream, value: unknown, code = 200): void {
  stream.respond({ ':status': code, 'content-type': 'application/json' });
  stream.end(JSON.stringify(value));
}

/** A TCP relay to `server` that can stop passing anything on, as a network that drops all packets. */
export async function startRelay(
  server: TlsServer,
): Promise<{ access: ClusterAccess; drop(): void; close(): void }> {
  const port = Number(new URL(server.access.server).port);
  const sockets: Socket[] = [];
  const listener = createServer((socket) => {
    const onward = connect(port, '127.0.0.1');
    sockets.push(socket, onward);
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    access: {
      ...server.access,
      server: `https://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    },
    drop: () => {
      for (const socket of sockets) socket.unpipe();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

/** A server on a free port that knows clients by certificate, if they show one. */
export async function startTlsServer(
  { authority, server, client }: Certificates,
  port = 0,
): Promise<TlsServer> {
  const options = { cert: server.certificate, key: server.key, ca: authority.certificate };
  const listener: Http2SecureServer = createSecureServer({
    ...options,
    requestCert: true,
    rejectUnauthorized: false,
  });
  const received: Received[] = [];
  const sessions = new Set<Http2Session>();
  listener.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => undefined);
  });
  listener.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const session = stream.session;
      if (session === undefined) return;
      const { subject } = (session.socket as TLSSocket).getPeerCertificate();
      const one: Received = {
        method: headers[':method'] ?? '',
        path: headers[':path'] ?? '',
        headers,
        body: Buffer.concat(chunks).toString(),
        user: (subject as { CN?: string } | undefined)?.CN,
        session,
      };
      received.push(one);
      running.respond(stream, one);
    });
  });
  await new Promise<void>((resolve) => listener.listen(port, '127.0.0.1', resolve));
  const access: ClusterAccess = {
    server: `https://127.0.0.1:${(listener.address() as AddressInfo).port}`,
    certificateAuthority: Buffer.from(authority.certificate),
    clientCertificate: {
      certificate: Buffer.from(client.certificate),
      key: Buffer.from(client.key),
    },
    insecureSkipTlsVerify: false,
    disableCompression: false,
    namespace: 'default',
  };
  const running: TlsServer = {
    access,
    received,
    sessions,
    respond: (stream) => json(stream, {}),
    close: () => {
      for (const session of sessions) session.destroy();
      return new Promise((resolve) => listener.close(() => resolve()));
    },
  };
  return running;
}
