/**
 * Lines of container logs as the Container Runtime Interface defines them: time, stream, tag, text.
 * Tag P marks a part of a longer line, F its end.
 */
export interface LogLine {
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly isPartial: boolean;
  readonly text: string;
}

/** Undefined for a line that is not complete or not of this form. `line` is without its end. */
export function parseLogLine(line: string): LogLine | undefined {
  const parts = /^(\S+) (stdout|stderr) (\S+) (.*)$/s.exec(line);
  if (parts === null) return undefined;
  const [, time = '', stream, tags = '', text = ''] = parts;
  return {
    time,
    stream: stream === 'stderr' ? 'stderr' : 'stdout',
    isPartial: tags.split(':').includes('P'),
    text,
  };
}
