/** Writes rendered answers to HTTP/1.1 and HTTP/2, no faster than the client reads. */
import { constants as http2 } from 'node:http2';
import { Readable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';
import type { HttpRequest, Outgoing } from './http-request.js';
import { isWatchBody, type RenderedAnswer, type WatchBody } from './rendered.js';

/** Shorter bodies are not worth packing (k8s.io/apiserver, defaultGzipThresholdBytes). */
const GZIP_THRESHOLD_BYTES = 128 * 1024;

/** One write to a socket; more is handed over when it has left. */
const SLICE_BYTES = 256 * 1024;

/** Answers without an end of their own, as functions by which a server that stops ends them. */
export interface OpenAnswers {
  add(end: () => void): void;
  delete(end: () => void): void;
}

/** Resolves when all was handed to the socket, or the client has gone. */
export async function writeAnswer(
  { status, headers, body }: RenderedAnswer,
  request: HttpRequest,
  response: Outgoing,
  open: OpenAnswers,
): Promise<void> {
  response.statusCode = status;
  if (headers['cache-control'] === undefined)
    response.setHeader('cache-control', 'no-cache, private');
  for (const [name, value] of Object.entries(headers))
    response.setHeader(name, typeof value === 'string' ? value : [...value]);
  if (body === undefined) await end(response);
  else if (isWatchBody(body)) await writeWatch(body, response, open);
  else if (body instanceof Uint8Array) await writeBytes([body], request, response);
  else if (Array.isArray(body)) await writeBytes(body as readonly Uint8Array[], request, response);
  else await writeStream(body as Readable, response, open);
}

async function writeBytes(
  pieces: readonly Uint8Array[],
  request: HttpRequest,
  response: Outgoing,
): Promise<void> {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  let body = pieces;
  if (length >= GZIP_THRESHOLD_BYTES && acceptsGzip(request)) {
    body = await pack(pieces);
    response.setHeader('content-encoding', 'gzip');
    response.appendHeader('vary', 'Accept-Encoding');
    length = body.reduce((sum, piece) => sum + piece.length, 0);
  }
  response.setHeader('content-length', String(length));
  if (request.method !== 'HEAD' && !(await sendPieces(body, response))) return;
  await end(response);
}

/** Returns false when the client has gone. */
async function sendPieces(pieces: readonly Uint8Array[], response: Outgoing): Promise<boolean> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += SLICE_BYTES) {
      if (isGone(response)) return false;
      const slice = piece.subarray(at, at + SLICE_BYTES);
      if (!writeTo(response, slice)) await whenWritable(response);
    }
  }
  return !isGone(response);
}

/** The two kinds of response declare `write` apart; both take bytes and say whether they want more. */
function writeTo(response: Outgoing, bytes: Uint8Array): boolean {
  return 'stream' in response ? response.write(bytes) : response.write(bytes);
}

/** Piece by piece, so that a long body is never copied at once. */
async function pack(pieces: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const packed: Uint8Array[] = [];
  const gzip = Readable.from(pieces).pipe(createGzip({ level: constants.Z_BEST_SPEED }));
  for await (const piece of gzip) packed.push(piece as Uint8Array);
  return packed;
}

/** True when the client takes gzip: named, and not with a quality of 0. */
function acceptsGzip(request: HttpRequest): boolean {
  return (request.header('accept-encoding') ?? '').split(',').some((clause) => {
    const [coding = '', ...params] = clause.split(';').map((part) => part.trim().toLowerCase());
    const quality = params.find((param) => param.startsWith('q='))?.slice(2) ?? '1';
    return coding === 'gzip' && Number(quality) > 0;
  });
}

function writeWatch(body: WatchBody, response: Outgoing, open: OpenAnswers): Promise<void> {
  return new Promise((resolve) => {
    let isEnded = false;
    const finish = (isOurs: boolean): void => {
      if (isEnded) return;
      isEnded = true;
      open.delete(stop);
      if (!isOurs) body.close();
      void end(response).then(resolve);
    };
    const stop = (): void => finish(false);
    response.once('close', stop);
    open.add(stop);
    response.on('drain', () => {
      if (!isEnded) body.drained();
    });
    sendHead(response);
    if (isGone(response)) return finish(false);
    body.start(
      (chunks) => {
        if (isEnded) return false;
        return chunks.length === 0 || writeTo(response, Buffer.concat(chunks));
      },
      () => finish(true),
    );
  });
}

async function writeStream(
  readable: Readable,
  response: Outgoing,
  open: OpenAnswers,
): Promise<void> {
  const stop = (): void => void readable.destroy();
  response.once('close', stop);
  open.add(stop);
  sendHead(response);
  try {
    for await (const chunk of readable) {
      if (isGone(response)) return;
      if (!writeTo(response, chunk as Uint8Array)) await whenWritable(response);
    }
    await end(response);
  } catch {
    // The client can tell a text that is cut off from one that is whole.
    if (readable.errored === null) await end(response);
    else breakOff(response);
  } finally {
    open.delete(stop);
    readable.destroy();
  }
}

/** Now, though there is nothing of the body yet: clients wait for the head of a watch. */
function sendHead(response: Outgoing): void {
  if ('stream' in response) response.writeHead(response.statusCode);
  else response.flushHeaders();
}

function breakOff(response: Outgoing): void {
  if ('stream' in response) response.stream.close(http2.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
}

function isGone(response: Outgoing): boolean {
  if ('stream' in response) return response.stream.destroyed || response.stream.closed;
  return response.destroyed;
}

function whenWritable(response: Outgoing): Promise<void> {
  if (isGone(response)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

function end(response: Outgoing): Promise<void> {
  if (isGone(response)) return Promise.resolve();
  return new Promise((resolve) => {
    response.once('close', resolve);
    response.end(() => resolve());
  });
}
