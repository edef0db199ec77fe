/**
 * The channels of exec and attach over a WebSocket: each binary message begins with the number of
 * its channel (k8s.io/apimachinery remotecommand, KEP-4006). Version 4 has no half-close, version 5
 * adds it.
 */
import type { Status } from '../../gen/kube-meta-v1.js';

/** As exec and attach send it: without kind and apiVersion. */
export type StreamStatus = Omit<Status, 'apiVersion' | 'kind'>;

export const Channel = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  /** Carries one Status at the end. */
  error: 3,
  /** Carries JSON of a terminal's size. */
  resize: 4,
  /** Version 5: the second byte names a channel on which the sender is done. */
  close: 255,
} as const;

/** In the order in which a server prefers them. */
export const CHANNEL_PROTOCOLS: readonly string[] = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

/** Names of a Sec-WebSocket-Protocol header, which may be absent. */
export function offeredProtocols(header: string | undefined): string[] {
  return (header ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** The first that the client offers and this side speaks. */
export function chooseProtocol(
  offered: readonly string[],
  spoken: readonly string[],
): string | undefined {
  return offered.find((name) => spoken.includes(name));
}

export type ChannelMessage =
  | { readonly type: 'data'; readonly channel: number; readonly data: Uint8Array }
  | { readonly type: 'close'; readonly channel: number };

/** One binary message. Undefined: it is empty, or closes nothing; such messages are dropped. */
export function parseChannelMessage(message: Uint8Array): ChannelMessage | undefined {
  const channel = message[0];
  if (channel === undefined) return undefined;
  if (channel !== Channel.close) return { type: 'data', channel, data: message.subarray(1) };
  const closed = message[1];
  return closed === undefined ? undefined : { type: 'close', channel: closed };
}

export function channelMessage(channel: number, data: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + data.length);
  message[0] = channel;
  message.set(data, 1);
  return message;
}

/** Says that nothing more comes on a channel; version 5 only. */
export function closeMessage(channel: number): Uint8Array {
  return Uint8Array.of(Channel.close, channel);
}

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** Undefined for what is no size; a terminal keeps its old one then. */
export function parseResize(data: Uint8Array): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(data));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { Width: width, Height: height } = value as { Width?: unknown; Height?: unknown };
  return isCells(width) && isCells(height) ? { width, height } : undefined;
}

/** Of 16 bits, as the kernel keeps it. */
function isCells(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65536;
}

export function resizeMessage({ width, height }: TerminalSize): Uint8Array {
  const text = `${JSON.stringify({ Width: width, Height: height })}\n`;
  return channelMessage(Channel.resize, new TextEncoder().encode(text));
}

/** The last message of a command that ran: success, or its exit code. */
export function exitStatus(exitCode: number): StreamStatus {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

/** The last message of a command that could not be run, or whose session broke. */
export function failureStatus(message: string): StreamStatus {
  return { metadata: {}, status: 'Failure', message, reason: 'InternalError', code: 500 };
}

export function statusMessage(status: StreamStatus): Uint8Array {
  return channelMessage(Channel.error, new TextEncoder().encode(JSON.stringify(status)));
}

/** The exit code that a Status on the error channel tells; undefined when the command did not run to its end. */
export function exitCodeOf(status: StreamStatus): number | undefined {
  if (status.status === 'Success') return 0;
  if (status.reason !== 'NonZeroExitCode') return undefined;
  const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode');
  const code = Number(cause?.message);
  return Number.isInteger(code) ? code : undefined;
}
