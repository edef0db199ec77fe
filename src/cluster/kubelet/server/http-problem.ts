/** A request that the kubelet's API refuses: its answer, in plain text. */
export class HttpProblem extends Error {
  override name = 'HttpProblem';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
