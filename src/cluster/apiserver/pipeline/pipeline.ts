/**
 * The way of a request: a list of steps, each of which answers or lets it go on. The same list
 * serves HTTP and calls within the process.
 */
import { ApiError, internalError, unknownPath } from '../../api/status.js';
import type { Logger } from '../../../base/observe/logger.js';
import type { Answer, Exchange, Step } from './exchange.js';

export class Pipeline {
  private readonly steps: readonly Step[];
  private readonly log: Logger;

  constructor(steps: readonly Step[], log: Logger) {
    this.steps = steps;
    this.log = log;
  }

  /** Never rejects: an error of any kind is an ApiError in the result. */
  async run(exchange: Exchange): Promise<Answer | ApiError> {
    try {
      for (const step of this.steps) {
        const answer = await step(exchange);
        if (answer !== undefined) return answer;
      }
      return unknownPath();
    } catch (error) {
      if (error instanceof ApiError) return error;
      const { method, path } = exchange.request;
      this.log.error('request failed', { method, path, error });
      return internalError(error instanceof Error ? error.message : String(error));
    }
  }
}
