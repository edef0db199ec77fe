/** Failure to start a container: reason and message of its waiting state. */
export class StartError extends Error {
  override name = 'StartError';
  /** `ErrImagePull`, `CreateContainerConfigError` ... */
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
