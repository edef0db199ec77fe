/**
 * The HTTP/1.1 server behind the ports, with the rules of Go's net/http, which etcd uses. Idle
 * connections stay open for as long as the client wants. A request must name its host once, in
 * characters a host may have.
 */
import * as http from 'node:http';

/** Time for a request's headers, as in etcd (`ReadHeaderTimeout` in server/embed/serve.go). */
const HEADERS_TIMEOUT_MS = 5 * 60 * 1000;
const BAD_REQUEST = 400;
/** Letters, digits, and what addresses, ports and percent-encoding are made of (Go's httpguts.ValidHostHeader). */
const VALID_HOST = /^[A-Za-z0-9!$%&'()*+,\-./:;=@[\]_~]*$/;

/** Sockets are given to it with `emit('connection', socket)`, or it listens itself. */
export function createHttp1Server(handle: http.RequestListener): http.Server {
  const options: http.ServerOptions = {
    keepAliveTimeout: 0,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: 0,
    // Answered below, with a text.
    requireHostHeader: false,
  };
  return http.createServer(options, (request, response) => {
    const fault = hostFault(request);
    if (fault === undefined) handle(request, response);
    else refuse(response, fault);
  });
}

/** The status text a request is refused with; undefined when it names its host as it should. */
function hostFault({ rawHeaders, httpVersion }: http.IncomingMessage): string | undefined {
  let host: string | undefined;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    if (rawHeaders[at]?.toLowerCase() !== 'host') continue;
    if (host !== undefined) return 'Bad Request';
    host = rawHeaders[at + 1] ?? '';
  }
  if (host === undefined) {
    return httpVersion === '1.0' ? undefined : 'Bad Request: missing required Host header';
  }
  return VALID_HOST.test(host) ? undefined : 'Bad Request: malformed Host header';
}

function refuse(response: http.ServerResponse, text: string): void {
  const body = Buffer.from(`${BAD_REQUEST} ${text}`);
  response.writeHead(BAD_REQUEST, text, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    Connection: 'close',
  });
  response.end(body);
}
