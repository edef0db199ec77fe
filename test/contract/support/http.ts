import { request, type Agent, type IncomingHttpHeaders } from 'node:http';

export interface HttpQuestion {
  readonly port: number;
  /** Sent as it is: fetch would clean it. */
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly agent?: Agent;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly bytes: Buffer;
}

/** Asks a member on the loopback interface over HTTP/1.1. */
export function httpAnswer(question: HttpQuestion): Promise<HttpAnswer> {
  const { port, path, method = 'GET', headers = {}, body = '', agent } = question;
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, method, headers: { ...headers } };
    const call = request(agent === undefined ? options : { ...options, agent }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: bytes.toString('utf8'),
          bytes,
        });
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}
