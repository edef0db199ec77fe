import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import type { ClusterEnv, ClusterTimer } from '../../env.js';
import type { ClusterAccess } from '../kubeconfig.js';

/** Calls and watches on one connection, unless the server allows fewer; beyond it another opens. */
const MAX_STREAMS = 200;
const CONNECT_TIMEOUT_MS = 30_000;
/** As client-go: a connection that is silent is asked, and given up without an answer. */
const PING_AFTER_MS = 30_000;
const PING_TIMEOUT_MS = 15_000;
const STREAM_WINDOW = 1024 * 1024;
/** A watch that is not read must not stop the others of its connection. */
const CONNECTION_WINDOW = 32 * 1024 * 1024;

interface Connection {
  readonly session: ClientHttp2Session;
  streams: number;
  /** The server takes no more calls on it, and ends those that it has. */
  isLeaving: boolean;
}

/** The connections to one API server. */
export class Connections {
  readonly #env: ClusterEnv;
  readonly #server: string;
  readonly #tls: SecureClientSessionOptions;
  readonly #open = new Set<Connection>();
  #isClosed = false;

  constructor(env: ClusterEnv, access: ClusterAccess) {
    this.#env = env;
    this.#server = access.server;
    this.#tls = tlsOptions(access);
  }

  /** A stream for one call. Its connection may not be there yet; the stream fails if that fails. */
  open(headers: OutgoingHttpHeaders, endStream: boolean): ClientHttp2Stream {
    if (this.#isClosed) throw new Error('the client is closed');
    const connection = this.#free() ?? this.#connect();
    const stream = connection.session.request(headers, { endStream });
    connection.streams += 1;
    stream.on('close', () => (connection.streams -= 1));
    return stream;
  }

  close(): void {
    this.#isClosed = true;
    for (const { session } of this.#open) session.destroy(new Error('the client is closed'));
  }

  #free(): Connection | undefined {
    for (const connection of this.#open) {
      const { session, streams, isLeaving } = connection;
      if (isLeaving || session.closed) continue;
      const allowed = session.connecting ? undefined : session.remoteSettings.maxConcurrentStreams;
      if (streams < Math.min(MAX_STREAMS, allowed ?? MAX_STREAMS)) return connection;
    }
    return undefined;
  }

  #connect(): Connection {
    const settings = { initialWindowSize: STREAM_WINDOW, enablePush: false };
    const session = connect(this.#server, { ...this.#tls, settings });
    const connection: Connection = { session, streams: 0, isLeaving: false };
    this.#open.add(connection);
    let timer = this.#env.after(CONNECT_TIMEOUT_MS, () =>
      session.destroy(new Error('connecting took too long')),
    );
    const keepAlive = (): void => {
      timer = this.#env.after(PING_AFTER_MS, () => {
        timer = this.#ping(session, keepAlive);
      });
    };
    const leave = (): void => {
      connection.isLeaving = true;
    };
    session.on('connect', () => {
      timer.cancel();
      session.setLocalWindowSize(CONNECTION_WINDOW);
      keepAlive();
    });
    // Its streams report the error, and each of them belongs to a call.
    session.on('error', leave);
    session.on('goaway', leave);
    session.on('close', () => {
      this.#open.delete(connection);
      timer.cancel();
    });
    return connection;
  }

  #ping(session: ClientHttp2Session, onAnswer: () => void): ClusterTimer {
    const timer = this.#env.after(PING_TIMEOUT_MS, () =>
      session.destroy(new Error('the server no longer answers')),
    );
    session.ping((error) => {
      timer.cancel();
      if (error === null) onAnswer();
    });
    return timer;
  }
}

function tlsOptions(access: ClusterAccess): SecureClientSessionOptions {
  const { certificateAuthority, clientCertificate, tlsServerName } = access;
  return {
    rejectUnauthorized: !access.insecureSkipTlsVerify,
    ...(certificateAuthority === undefined ? {} : { ca: Buffer.from(certificateAuthority) }),
    ...(clientCertificate === undefined
      ? {}
      : {
          cert: Buffer.from(clientCertificate.certificate),
          key: Buffer.from(clientCertificate.key),
        }),
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
  };
}
