/** Our API server in the test's process: requests go through all of its pipeline, without sockets. */
import { parse } from 'yaml';
import { loggerTo } from '../../../../src/base/observe/logger.js';
import { EtcdClient } from '../../../../src/client/client.js';
import type { JsonValue } from '../../../../src/cluster/api/object.js';
import { isWatchBody, type RenderedBody } from '../../../../src/cluster/apiserver/http/rendered.js';
import type {
  ApiRequest,
  ClientCertificate,
} from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import { ApiServer } from '../../../../src/cluster/apiserver/server.js';
import type { ClusterEnv } from '../../../../src/cluster/env.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { until } from '../../../support/servers.js';
import type { KeyAndCert } from '../../support/certificates.js';

export interface SentRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly certificate: ClientCertificate | undefined;
  /** Events of a watch after which it is left; undefined: when the server ends it. */
  readonly eventsWanted: number | undefined;
}

export interface ReceivedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  /** JSON as a value, anything else as text; the lines of a watch as a list. */
  readonly body: JsonValue;
  readonly isWatch: boolean;
}

/** In PEM; made once for all servers. */
export interface ServerKeys {
  readonly tls: KeyAndCert & { readonly ca: string };
  readonly serviceAccountKey: string;
}

/**
 * Instant of all steps, shortly after the last recording: tables show ages as of that day, and
 * entries of managedFields are ordered by the second.
 */
const RECORDED_AT_MS = Date.UTC(2026, 10, 28, 15);

/** An end that is waited for comes this many times sooner. */
const HURRY = 20;
/** A watch that shows less than was recorded is left after this time. */
const PATIENCE_MS = 10_000;

const READINESS: SentRequest = {
  method: 'GET',
  path: '/readyz',
  query: {},
  headers: {},
  body: Buffer.alloc(0),
  certificate: undefined,
  eventsWanted: undefined,
};

export class TestApiServer {
  readonly store: EtcdClient;
  private readonly server: ApiServer;
  private isHurried = false;

  constructor(endpoint: string, { tls, serviceAccountKey }: ServerKeys) {
    this.store = new EtcdClient(endpoint);
    const system = systemClusterEnv();
    const env: ClusterEnv = {
      ...system,
      wallMs: () => RECORDED_AT_MS,
      after: (delayMs, callback) =>
        system.after(this.isHurried ? delayMs / HURRY : delayMs, callback),
    };
    this.server = new ApiServer({
      store: this.store,
      env,
      log: loggerTo([], 'error'),
      tls: { key: tls.key, cert: tls.cert, clientCa: tls.ca },
      kubeletTls: { key: tls.key, cert: tls.cert, ca: tls.ca },
      serviceAccountKey,
      serviceCidr: '10.96.0.0/16',
      advertiseAddress: '192.0.2.1',
      port: 0,
    });
  }

  /** Resolves when the server is ready: the objects of the system are there, too. */
  async listen(): Promise<void> {
    await this.server.listen('127.0.0.1');
    const isReady = async (): Promise<true | null> => {
      const answer = await this.send(READINESS, false);
      return answer.status === 200 ? true : null;
    };
    await until('the API server is ready', isReady);
  }

  async stop(): Promise<void> {
    await this.server.stop(0);
    this.store.close();
  }

  /** `hurries`: the answer is one that comes when a time is over. */
  async send(sent: SentRequest, hurries: boolean): Promise<ReceivedAnswer> {
    this.isHurried = hurries;
    try {
      const leaving = new AbortController();
      const answer = await this.server.handle(requestOf(sent, leaving.signal));
      if (answer === undefined) throw new Error('nothing upgrades here');
      const { status, headers } = answer;
      // As the sender leaves it out.
      const body = sent.method === 'HEAD' ? undefined : answer.body;
      const isYaml = headers['content-type'] === 'application/yaml';
      if (!isWatchBody(body))
        return { status, headers, body: await valueOf(body, isYaml), isWatch: false };
      return { status, headers, body: await linesOf(body, sent.eventsWanted), isWatch: true };
    } finally {
      this.isHurried = false;
    }
  }
}

function requestOf(sent: SentRequest, signal: AbortSignal): ApiRequest {
  return {
    method: sent.method,
    path: sent.path,
    query: new URLSearchParams({ ...sent.query }),
    header: (name) => sent.headers[name],
    headerNames: () => Object.keys(sent.headers),
    body: () => Promise.resolve(sent.body),
    certificate: sent.certificate,
    signal,
    upgrade: undefined,
  };
}

async function valueOf(
  body: Exclude<RenderedBody, { start: unknown }>,
  isYaml: boolean,
): Promise<JsonValue> {
  const chunks: Uint8Array[] = [];
  if (body instanceof Uint8Array) chunks.push(body);
  else if (body !== undefined)
    for await (const chunk of body as AsyncIterable<Uint8Array> | Iterable<Uint8Array>)
      chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  if (isYaml) return parse(text) as JsonValue;
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}

function linesOf(
  body: Extract<RenderedBody, { start: unknown }>,
  wanted: number | undefined,
): Promise<JsonValue[]> {
  return new Promise((resolve) => {
    let text = '';
    const timer = setTimeout(() => leave(), PATIENCE_MS);
    const leave = (): void => {
      body.close();
      finish();
    };
    const finish = (): void => {
      clearTimeout(timer);
      const lines = text.split('\n').filter((line) => line !== '');
      resolve(lines.map((line) => JSON.parse(line) as JsonValue));
    };
    const leaveIfEnough = (): void => {
      if (wanted === undefined || text.split('\n').length - 1 < wanted) return;
      leave();
    };
    body.start((chunks) => {
      text += Buffer.concat(chunks).toString();
      leaveIfEnough();
      return true;
    }, finish);
    leaveIfEnough();
  });
}
