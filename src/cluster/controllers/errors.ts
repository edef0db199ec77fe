import { ApiError } from '../api/status.js';

/** Nothing can be created in a namespace that is being deleted; trying again is of no use. */
export function isNamespaceGoing(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  const causes = error.status.details?.causes ?? [];
  return causes.some(({ reason }) => reason === 'NamespaceTerminating');
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
