/**
 * Every limit of the connections between members. `src/server/startup/limit-chain.ts` asserts at start how they
 * fit the limits of requests, entries and log records; DATA.md states those that both sides of a
 * connection must share.
 */

const MIB = 1024 * 1024;

/** Longest body of a frame from a dialler whose hello is not accepted yet. */
export const MAX_HELLO_BYTES = 4096;
/** Longest body of one frame. */
export const MAX_FRAME_BYTES = 64 * MIB;
/** Bytes of a long body that one part carries. */
export const PART_BYTES = 256 * 1024;
/**
 * Longest body that travels in parts: one entry of the largest request a client can send (2^31 - 1
 * bytes, the limit of a protobuf message) and its envelope. Entries of the log end earlier, at 512 MiB.
 */
export const MAX_BODY_BYTES = 2 ** 31 + MIB;
/**
 * Short messages are put together to frames of about this size; a longer message travels in parts.
 */
export const FRAME_TARGET_BYTES = MIB;

/**
 * Bytes of entries on their way that the other side has not confirmed yet. Everything else passes
 * behind no more than these, so a heartbeat waits at most for one window.
 */
export const WINDOW_BYTES = 2 * MIB;
/** A confirmation is asked for after this many bytes of entries. */
export const MARK_BYTES = 256 * 1024;

/**
 * Messages that wait for one peer. One message may exceed the bound, so a message of any size
 * passes; the next one is dropped. Not less than what the consensus core sends ahead of a
 * follower's answer.
 */
export const MAX_QUEUED_BYTES = 64 * MIB;
export const MAX_QUEUED_WRITES = 4096;
/**
 * Requests of this member that one peer has not answered yet, and requests of one peer under way
 * here.
 */
export const MAX_SENT_REQUESTS = 10_000;
export const MAX_OPEN_REQUESTS = 4096;

/** A chunk of a snapshot is cut into frames of at most this size. */
export const CHUNK_FRAME_BYTES = 256 * 1024;
/** No further chunk of a snapshot is read while more than this waits in the socket. */
export const SNAPSHOT_WINDOW_BYTES = MIB;

/**
 * Connections to the peer port beside the one for messages that each peer has: those with an
 * undecided protocol, those that speak HTTP, and those that bring a snapshot, from one peer.
 * Further ones are closed at once. Together they stay within the file descriptors that a member
 * keeps back for files and peers.
 */
export const MAX_UNDECIDED = 64;
export const MAX_HTTP = 32;
export const MAX_SNAPSHOTS = 2;

/**
 * An established connection sends something at least this often, and is dead after the other time
 * of silence.
 */
export const PING_INTERVAL_MS = 1000;
export const DEAD_AFTER_MS = 5000;
/** Time for a connection from the first packet to the reply to its hello. */
export const HANDSHAKE_TIMEOUT_MS = 5000;
/** Time for the other side to read the last frame of a connection that this side ends. */
export const LINGER_MS = 5000;
/**
 * Time for a connection to prove that it is alive when another process claims its member's
 * identity.
 */
export const CHALLENGE_MS = 2 * PING_INTERVAL_MS;

/** Pause before a link is dialled again: doubled at each failure, with jitter of half of it. */
export const BACKOFF_MIN_MS = 50;
export const BACKOFF_MAX_MS = 1000;
/** A link that lasted less than this counts as a failure when it breaks. */
export const STABLE_MS = DEAD_AFTER_MS;

/**
 * Short links in a row after which the next attempt waits; one that ended with its process does not
 * count. Until then a broken link is dialled at once: a refusal shows that the process is gone.
 */
export const MAX_SHORT_LINKS = 1;
/**
 * After the other side broke the connection: how long to look for a refusal, and how long between
 * looks.
 */
export const PROBE_MS = 300;
export const PROBE_PAUSE_MS = 10;

/** Refusals remembered so that each is logged once. */
export const MAX_LOGGED_REFUSALS = 100;
/** Lines of one text about one peer that are logged in one period; the rest is counted. */
export const LOG_BURST_LINES = 5;
export const LOG_PERIOD_MS = 60_000;
/** Texts and peers whose lines are counted; the oldest counter makes room for a new one. */
export const MAX_LOG_COUNTERS = 256;
