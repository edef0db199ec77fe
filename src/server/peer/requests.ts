/** Answers one request from another member; `reply` is called once. */
export type PeerRequestHandler = (
  body: Uint8Array,
  reply: (error: Error | null, body: Uint8Array | null) => void,
) => void;

/**
 * The requests of other members that this member answers: each part registers the kinds it serves.
 */
export class PeerRequestTable {
  private readonly handlers = new Map<number, PeerRequestHandler>();

  /** `kind`: a number of PeerRequest not registered before. */
  register(kind: number, handler: PeerRequestHandler): void {
    if (this.handlers.has(kind)) throw new Error(`peer request ${kind} has a handler already`);
    this.handlers.set(kind, handler);
  }

  answer(
    kind: number,
    body: Uint8Array,
    reply: (error: Error | null, body: Uint8Array | null) => void,
  ): void {
    const handler = this.handlers.get(kind);
    if (handler === undefined) reply(new Error(`unknown peer request ${kind}`), null);
    else handler(body, reply);
  }
}
