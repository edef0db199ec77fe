import { StartupError } from '../../src/base/flags/startup-error.js';

/** The refusal that `promise` ends with. Throws: anything else, or when it is accepted. */
export async function startupRefusal(promise: Promise<unknown>): Promise<StartupError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof StartupError) return error;
    throw error;
  }
  throw new Error('was accepted');
}
