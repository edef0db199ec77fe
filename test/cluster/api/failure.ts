import { ApiError } from '../../../src/cluster/api/status.js';

/** The ApiError that `act` throws. Throws: any other error of it, and an Error when it has none. */
export function failureOf(act: () => unknown): ApiError {
  try {
    act();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}
