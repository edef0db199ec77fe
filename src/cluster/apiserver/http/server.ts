/**
 * The HTTPS side of the API server: HTTP/2 and HTTP/1.1 on one port, chosen by ALPN. Upgrades
 * (exec, attach, port-forward) come over HTTP/1.1.
 */
import { ServerResponse, type IncomingMessage } from 'node:http';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ApiError, internalError } from '../../api/status.js';
import { sleep, type ClusterEnv } from '../../env.js';
import { renderError } from '../answer/render.js';
import type { ApiRequest, RequestInfo } from '../pipeline/exchange.js';
import { isLongRunning, requestInfo } from '../pipeline/request-info.js';
import {
  certificateOf,
  clientGone,
  HttpRequest,
  requestTimeout,
  type Outgoing,
} from './http-request.js';
import { DEFAULT_IN_FLIGHT, InFlight, tooManyRequests, type InFlightLimits } from './in-flight.js';
import type { RenderedAnswer } from './rendered.js';
import type { RequestMetrics } from './request-metrics.js';
import { writeAnswer } from './write-answer.js';

/** Answers a request; undefined when the connection became another protocol. Never rejects, save by mistake. */
export type Handler = (
  request: ApiRequest,
  info: RequestInfo,
) => Promise<RenderedAnswer | undefined>;

/** All in PEM. */
export interface ServerTls {
  readonly key: string;
  readonly cert: string;
  /** Authority of client certificates; certificates of others are as good as none. */
  readonly clientCa: string;
}

export interface HttpServerOptions {
  readonly env: ClusterEnv;
  readonly tls: ServerTls;
  readonly handle: Handler;
  readonly metrics: RequestMetrics;
  readonly inFlight?: InFlightLimits;
  /** Told of errors that are mistakes of ours; the client got status 500. */
  readonly onMistake: (error: unknown) => void;
}

/** A request that does not run for long is answered within this time, body included. */
const REQUEST_TIMEOUT_MS = 60_000;
/** A connection without a request is closed after this time. */
const IDLE_TIMEOUT_MS = 90_000;
const MAX_STREAMS = 1000;
const MAX_HEADER_BYTES = 64 * 1024;
/** Of a request's body on its way, a stream. */
const WINDOW_BYTES = 256 * 1024;

export class HttpServer {
  readonly inFlight: InFlight;
  private readonly options: HttpServerOptions;
  private readonly server: Http2SecureServer;
  private readonly sockets = new Set<Duplex>();
  private readonly sessions = new Set<ServerHttp2Session>();
  /** Ends of the answers that have none of their own. */
  private readonly open = new Set<() => void>();
  private readonly active = new Set<HttpRequest>();
  private whenIdle: (() => void) | undefined;
  private stopping = false;

  constructor(options: HttpServerOptions) {
    this.options = options;
    this.inFlight = new InFlight(options.inFlight ?? DEFAULT_IN_FLIGHT);
    const { key, cert, clientCa } = options.tls;
    this.server = createSecureServer({
      key,
      cert,
      ca: clientCa,
      allowHTTP1: true,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      maxSessionMemory: 256,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        maxHeaderListSize: MAX_HEADER_BYTES,
        initialWindowSize: WINDOW_BYTES,
        enablePush: false,
      },
    });
    // Of HTTP/1.1; the declaration of the server knows HTTP/2 only.
    Object.assign(this.server, {
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    this.listenToConnections();
  }

  /** Resolves with the port. Rejects with the operating system's error. */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host, port }, () => {
        this.server.off('error', reject);
        resolve();
      });
    });
    // A connection that cannot be accepted leaves the others alone.
    this.server.on('error', this.options.onMistake);
    return (this.server.address() as AddressInfo).port;
  }

  /** Serves a connection that was accepted elsewhere; nothing of it has been read. */
  accept(connection: Socket): void {
    this.server.emit('connection', connection);
  }

  /** From the beginning of `stop` on; readiness fails then. */
  get isStopping(): boolean {
    return this.stopping;
  }

  /** Number of requests that are being answered, watches included. */
  get activeRequests(): number {
    return this.active.size;
  }

  /**
   * Takes no new connection, ends watches and logs, lets other requests finish for up to
   * `graceMs`, and then closes every connection, upgraded ones too.
   */
  async stop(graceMs: number): Promise<void> {
    this.stopping = true;
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const session of this.sessions) session.close();
    for (const endOpen of [...this.open]) endOpen();
    if (this.active.size > 0) {
      const timeUp = new AbortController();
      const idle = new Promise<void>((resolve) => (this.whenIdle = resolve));
      await Promise.race([idle, sleep(this.options.env, graceMs, timeUp.signal)]);
      timeUp.abort();
    }
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private listenToConnections(): void {
    const { server } = this;
    server.on('secureConnection', (socket: Duplex) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
      // The end of a connection reaches its requests as their own end.
      socket.on('error', () => undefined);
    });
    server.on('session', (session) => {
      this.sessions.add(session);
      session.once('close', () => this.sessions.delete(session));
      let streams = 0;
      session.on('stream', (stream) => {
        streams++;
        stream.once('close', () => streams--);
      });
      session.setTimeout(IDLE_TIMEOUT_MS, () => {
        if (streams === 0) session.close();
      });
    });
    server.on('request', (incoming, response) => {
      const request = new HttpRequest(incoming, certificateOf(incoming));
      response.once('close', () => request.end(clientGone()));
      incoming.on('error', () => undefined);
      void this.serve(request, () => response);
    });
    server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
      const upgrade = { incoming, socket, head };
      const request = new HttpRequest(incoming, certificateOf(incoming), upgrade);
      socket.once('close', () => request.end(clientGone()));
      void this.serve(request, () => responseOn(incoming, socket));
    });
  }

  private async serve(request: HttpRequest, responseFor: () => Outgoing): Promise<void> {
    this.active.add(request);
    try {
      const rendered = await this.answer(request);
      if (rendered === undefined) return;
      const response = responseFor();
      response.on('error', () => undefined);
      if (!('stream' in response) && this.mustClose(request))
        response.setHeader('connection', 'close');
      await writeAnswer(rendered, request, response, this.open);
    } catch (error) {
      this.options.onMistake(error);
    } finally {
      this.active.delete(request);
      if (this.active.size === 0) this.whenIdle?.();
    }
  }

  /** HTTP/1.1: what is left of the body must not be read as the next request, nor for nothing. */
  private mustClose(request: HttpRequest): boolean {
    return this.stopping || request.upgrade !== undefined || request.hasUnreadBody;
  }

  private async answer(request: HttpRequest): Promise<RenderedAnswer | undefined> {
    const { env, metrics } = this.options;
    let info: RequestInfo;
    try {
      info = requestInfo(request.method, request.path, request.query);
    } catch (error) {
      return this.renderFailure(error, request);
    }
    const beganMs = env.monoMs();
    const rendered = isLongRunning(info)
      ? await this.answerLongRunning(request, info)
      : await this.answerLimited(request, info);
    metrics.answered(info, rendered?.status ?? 101, (env.monoMs() - beganMs) / 1000);
    return rendered;
  }

  private async answerLongRunning(
    request: HttpRequest,
    info: RequestInfo,
  ): Promise<RenderedAnswer | undefined> {
    const done = this.options.metrics.longRunning(info);
    const { signal } = request;
    if (signal.aborted) done();
    else signal.addEventListener('abort', done, { once: true });
    return this.handled(request, info);
  }

  private async answerLimited(
    request: HttpRequest,
    info: RequestInfo,
  ): Promise<RenderedAnswer | undefined> {
    const isAdmin = request.certificate?.organizations.includes('system:masters') === true;
    const room = this.inFlight.begin(info.verb, isAdmin);
    if (room === undefined) return tooManyRequests();
    try {
      return await this.inTime(request, info);
    } finally {
      this.inFlight.end(room);
    }
  }

  private async inTime(
    request: HttpRequest,
    info: RequestInfo,
  ): Promise<RenderedAnswer | undefined> {
    let late: ((answer: RenderedAnswer) => void) | undefined;
    const timeIsUp = new Promise<RenderedAnswer>((resolve) => (late = resolve));
    const timer = this.options.env.after(REQUEST_TIMEOUT_MS, () => {
      const error = requestTimeout();
      request.end(error);
      late?.(renderError(error, request));
    });
    try {
      return await Promise.race([this.handled(request, info), timeIsUp]);
    } finally {
      timer.cancel();
    }
  }

  private async handled(
    request: HttpRequest,
    info: RequestInfo,
  ): Promise<RenderedAnswer | undefined> {
    try {
      return await this.options.handle(request, info);
    } catch (error) {
      return this.renderFailure(error, request);
    }
  }

  private renderFailure(error: unknown, request: HttpRequest): RenderedAnswer {
    if (error instanceof ApiError) return renderError(error, request);
    this.options.onMistake(error);
    const text = error instanceof Error ? error.message : String(error);
    return renderError(internalError(text), request);
  }
}

/** To answer an upgrade that is refused, on the socket that asked for it. */
function responseOn(incoming: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(incoming);
  response.shouldKeepAlive = false;
  response.assignSocket(socket as Socket);
  response.once('finish', () => socket.end());
  return response;
}
