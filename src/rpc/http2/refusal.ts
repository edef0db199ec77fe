/** Reason why a request is no call of the table, and the status the client gets. */
import { GZIP, HeadFault, IDENTITY, isGrpcContentType } from './request-head.js';
import { RpcError, Status } from '../service.js';
import { unknownPath } from '../transport.js';
import type { RequestHead } from './request-head.js';
import type { Method } from '../service.js';

export interface Refusal {
  readonly httpStatus: number;
  readonly error: RpcError;
  /** It does not claim to be gRPC, and may be meant for the HTTP side. */
  readonly isPlainHttp: boolean;
}

const HEADERS_TOO_LARGE = new RpcError(Status.resourceExhausted, 'header list too large');

/** Undefined when the request is a call that `method` handles. Requires: a head that is not malformed. */
export function refusalOf(
  head: RequestHead,
  method: Method | undefined,
  host: { readonly services: ReadonlySet<string> },
): Refusal | undefined {
  if (head.fault === HeadFault.tooLarge) {
    return { httpStatus: 431, error: HEADERS_TOO_LARGE, isPlainHttp: false };
  }
  if (!isGrpcContentType(head.contentType)) {
    const text = `invalid gRPC request content-type ${JSON.stringify(head.contentType)}`;
    const isPlainHttp = !head.contentType.startsWith('application/grpc');
    return { httpStatus: 415, error: new RpcError(Status.invalidArgument, text), isPlainHttp };
  }
  if (head.method !== 'POST') {
    const text = `received a call with method ${JSON.stringify(head.method)} instead of POST`;
    return { httpStatus: 405, error: new RpcError(Status.internal, text), isPlainHttp: false };
  }
  if (method === undefined) {
    return { httpStatus: 200, error: unknownPath(head.path, host.services), isPlainHttp: false };
  }
  const { encoding } = head;
  if (encoding !== '' && encoding !== GZIP && encoding !== IDENTITY) {
    // Like grpc-go before it looks at a message: also calls none of whose messages are compressed.
    const text = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`;
    const error = new RpcError(Status.unimplemented, text);
    return { httpStatus: 200, error, isPlainHttp: false };
  }
  return undefined;
}
