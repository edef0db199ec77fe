import { NestingError, DecodeError } from '../../base/protobuf/runtime.js';
import { errors } from '../contract/errors.js';
import { RpcError, Status } from '../../rpc/service.js';

/**
 * The refusal of a message that is not of its type: what grpc-go answers. Only transactions contain messages of their
 * own type, and etcd refuses those that are too deep for the number of their operations.
 */
export function malformed(error: DecodeError): RpcError {
  if (error instanceof NestingError) return errors.tooManyOps;
  return new RpcError(Status.internal, `grpc: error unmarshalling request: ${error.message}`);
}

/**
 * Runs `handle`, and hands the refusal to `fail` if it met a malformed message. Anything else thrown is a fault of
 * ours and must not be hidden.
 */
export function refusingMalformed(handle: () => void, fail: (error: RpcError) => void): void {
  try {
    handle();
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    fail(malformed(error));
  }
}
