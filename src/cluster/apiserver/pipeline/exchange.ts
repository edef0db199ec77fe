/**
 * One request on its way through the API server, and its answer.
 *
 * Both transports (http/ and direct/) make an ApiRequest, run the steps of pipeline.ts and render
 * the Answer: HTTP as bytes, the direct call as objects.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { Kind } from '../../api/kinds/kind.js';
import type { TableView } from '../answer/views.js';
import type { Subscription } from '../cache/subscription.js';
import type { StoredObject } from '../storage/stored-object.js';

/** An HTTP/1.1 connection that asks to become another protocol. */
export interface UpgradeRequest {
  readonly incoming: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Uint8Array;
}

/** Subject of a verified client certificate (x509). */
export interface ClientCertificate {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** SHA-256 of the certificate in hexadecimal; undefined where no certificate was sent (direct calls). */
  readonly fingerprint?: string;
}

export interface ApiRequest {
  /** Upper case. */
  readonly method: string;
  /** Percent-encoded, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** One header's value, several joined by commas; undefined when absent. `name` is in lower case. */
  header(name: string): string | undefined;
  /** In lower case. */
  headerNames(): readonly string[];
  /** The whole body. Rejects with ApiError 413 beyond the limit. */
  body(): Promise<Uint8Array>;
  readonly certificate: ClientCertificate | undefined;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
  readonly upgrade: UpgradeRequest | undefined;
}

/** Verb and object that a path and method ask for (k8s.io/apiserver RequestInfo). */
export interface RequestInfo {
  /** False for paths outside /api and /apis, and for discovery. */
  readonly isResource: boolean;
  /** A resource's verb (`list`, `deletecollection`), or the method in lower case. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  /** Empty for all namespaces and for cluster-scoped resources. */
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  readonly path: string;
}

/** Sender of a request, once authenticated (k8s.io/apiserver user.Info). */
export interface User {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Filled in step by step; a step reads what earlier ones wrote. */
export interface Exchange {
  readonly request: ApiRequest;
  readonly info: RequestInfo;
  /** Set by authentication. */
  user: User;
  /** The served kind, when `info.isResource`. */
  kind: Kind | undefined;
  /** Texts that the client prints as warnings (RFC 7234 Warning 299). */
  readonly warnings: string[];
}

export type Answer =
  /** One object of a kind; rendered as JSON, YAML, Table or PartialObjectMetadata. */
  | {
      readonly type: 'object';
      readonly status: number;
      readonly kind: Kind;
      readonly stored: StoredObject;
    }
  | { readonly type: 'list'; readonly kind: Kind; readonly page: ListPage }
  | { readonly type: 'watch'; readonly kind: Kind; readonly subscription: Subscription }
  /** Any other JSON: Status, Scale, reviews, discovery. */
  | {
      readonly type: 'value';
      readonly status: number;
      readonly value: object;
      /** Of a value that is an object and has columns. */
      readonly view?: TableView;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | {
      readonly type: 'text';
      readonly status: number;
      readonly contentType: string;
      readonly text: string | Uint8Array;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Text of unknown length, sent as it comes. */
  | { readonly type: 'stream'; readonly contentType: string; readonly readable: Readable }
  /** The connection belongs to another protocol now; nothing is to be sent. */
  | { readonly type: 'upgraded' };

export interface ListPage {
  readonly items: readonly StoredObject[];
  readonly resourceVersion: string;
  /** Empty at the end. */
  readonly continue: string;
  /** Undefined when it is unknown, as with selectors. */
  readonly remaining: number | undefined;
}

/** A step answers, or lets the exchange go on to the next. */
export type Step = (exchange: Exchange) => Promise<Answer | undefined> | Answer | undefined;
