import { DecodeError } from '../../base/protobuf/runtime.js';
import type { RpcError } from '../../rpc/service.js';
import { malformed } from '../contract/errors.js';

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
