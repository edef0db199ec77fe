/**
 * The monitor of a plain process: a shell that belongs to nobody, writes what the process says into
 * its log in the format of the Container Runtime Interface, and leaves its exit code. Signals for
 * the container go to the whole process group; the shells of the monitor take no notice.
 */
import { join } from 'node:path';
import { quote } from '../shell-quote.js';

export interface MonitoredProcess {
  /** Directory of the container. */
  readonly bundle: string;
  readonly exitPath: string;
  readonly logPath: string;
  readonly workingDir: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Processes of the monitor itself, which a kill of the container spares. */
export const MONITOR_FILE = 'monitor.own';

const SIGNALS = 'HUP INT QUIT TERM USR1 USR2 ALRM WINCH';
/** Only GNU's date knows fractions of a second. */
const FRACTION = process.platform === 'linux' ? '%N' : '000000000';

export function monitorScript(of: MonitoredProcess): string {
  const inBundle = (name: string): string => quote(join(of.bundle, name));
  const variables = Object.entries(of.env).map(([name, value]) => quote(`${name}=${value}`));
  const command = [of.program, ...of.args].map(quote).join(' ');
  const replace = (path: string, text: string): string =>
    `echo ${text} > ${quote(`${path}.tmp`)} && mv ${quote(`${path}.tmp`)} ${quote(path)}`;
  return `
# A handler, unlike an ignored signal, is not passed on to the program.
trap : ${SIGNALS}
write() {
  # A signal would end the reading of a line.
  trap '' ${SIGNALS}
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s %s F %s\\n' "$(date -u +%Y-%m-%dT%H:%M:%S.${FRACTION}Z)" "$1" "$line" >> ${quote(of.logPath)}
  done
}
rm -f ${inBundle('out')} ${inBundle('err')}
mkfifo ${inBundle('out')} ${inBundle('err')}
: >> ${quote(of.logPath)}
write stdout < ${inBundle('out')} & out=$!
write stderr < ${inBundle('err')} & err=$!
(cd ${quote(of.workingDir)} && exec env -i ${variables.join(' ')} ${command}) \\
  > ${inBundle('out')} 2> ${inBundle('err')} < /dev/null & child=$!
${replace(join(of.bundle, MONITOR_FILE), '$$ $out $err')}
${replace(join(of.bundle, 'monitor.pid'), '$$')}
wait $child; code=$?
# A signal ends a wait too.
while kill -0 $child 2> /dev/null; do wait $child; code=$?; done
wait $child 2> /dev/null; again=$?
[ $again = 127 ] || code=$again
wait $out; wait $err
${replace(of.exitPath, '$code')}
`;
}
