/** Masks parts of kubectl's output that vary from run to run, so that two outputs can be compared. */
import type { Result } from './transcript.js';

/** Letters of generated names. */
const LETTER = '[bcdfghjklmnpqrstvwxz2456789]';

type Replacement = readonly [RegExp, string];

const PATTERNS: readonly Replacement[] = [
  // Colours of a terminal.
  [/\x1b\[[0-9;]*m/g, ''],
  [/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, '<UID>'],
  [/containerd:\/\/[0-9a-f]{8}\b/g, 'containerd://<UID>'],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| \+0000)/g, '<TIME>'],
  [/[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000/g, '<TIME>'],
  [/^([WE])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ /gm, '$1<TIME> '],
  [/(resourceVersion"?: ")\d+/g, '$1<REVISION>'],
  [/(Resource Version: +)\d+/g, '$1<REVISION>'],
  [/(?<!for )(?<![\w.:=-])(?:\d+[ydhms]){1,2}(?![\w.=-])/g, '<AGE>'],
  [new RegExp(`\\b(dep|web|kus)-${LETTER}{6,10}-${LETTER}{5}\\b`, 'g'), '$1-<HASH>-<NAME>'],
  [new RegExp(`\\b(dep|web|kus)-${LETTER}{6,10}\\b`, 'g'), '$1-<HASH>'],
  [new RegExp(`\\b(pod-template-hash[=:] ?)${LETTER}{6,10}\\b`, 'g'), '$1<HASH>'],
  [new RegExp(`\\b(exp|np|p|svc|kube-api-access|debugger)-${LETTER}{5}\\b`, 'g'), '$1-<NAME>'],
  [/\b10\.96\.(?!0\.1\b)\d+\.\d+\b/g, '<CLUSTER-IP>'],
  [/\b10\.244\.\d+\.\d+\b(?!\/)/g, '<POD-IP>'],
  [/X509SHA256=[0-9a-f]{64}/g, 'X509SHA256=<HASH>'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<TOKEN>'],
  // Of the client, and of the machine.
  [/((?:Client|Kustomize) Version: |"kustomizeVersion": )"?v[\w.+-]+"?/g, '$1<VERSION>'],
  [/"clientVersion": {[^}]*}/g, '"clientVersion": <CLIENT>'],
  [/("platform": )"[^"]*"/g, '$1<PLATFORM>'],
  [/\+mainstay-[\w.+-]+/g, '+mainstay-<VERSION>'],
  [/"node-v[\w.+-]+"/g, '"node-v<VERSION>"'],
  // Steps of a rollout are seen or missed by chance.
  [/^(?:Waiting for deployment .*\n)+/gm, ''],
];

/** Nodes are chosen by chance among those that are equally good. */
const PLACES: readonly Replacement[] = [
  [/\bnode-[abc]\b/g, '<NODE>'],
  [/\bzone-[12]\b/g, '<ZONE>'],
  [/\b10\.0\.0\.[123]\b/g, '<NODE-IP>'],
];

/** Masks recorded outputs, and those that come now from the server at `address`. */
export class Masking {
  private readonly recorder: readonly Replacement[] = [[/\b32443\/TCP/g, '<PORT>/TCP']];
  private readonly own: readonly Replacement[];
  private readonly leaveOut: (recorded: string) => string;

  /** Files in `dir` are the test's own. `leaveOut` takes out what is of no concern here. */
  constructor(address: string, dir: string, leaveOut: (recorded: string) => string) {
    this.leaveOut = leaveOut;
    const [, port = ''] = address.split(':');
    const folder = dir.replace(/[^\w/]/g, '\\$&');
    this.own = [
      [new RegExp(`192\\.0\\.2\\.1:${port}\\b`, 'g'), '<ADVERTISE>'],
      [new RegExp(`127\\.0\\.0\\.1:${port}\\b`, 'g'), '<SERVER>'],
      [new RegExp(`\\b${port}/TCP`, 'g'), '<PORT>/TCP'],
      [new RegExp(`${folder}[\\w./-]*`, 'g'), '<PATH>'],
    ];
  }

  recorded(command: string, result: Result): Result {
    return masked(command, result, this.recorder, this.leaveOut);
  }

  current(command: string, result: Result): Result {
    return masked(command, result, this.own, (text) => text);
  }
}

function masked(
  command: string,
  result: Result,
  more: readonly Replacement[],
  leaveOut: (text: string) => string,
): Result {
  const { exit, stdout, stderr } = result;
  const isOfNodes = /\bnodes?\b/.test(command);
  const replacements = [...more, ...PATTERNS, ...(isOfNodes ? [] : PLACES)];
  const mask = (raw: string): string => {
    const plain = replacements.reduce((rest, [from, to]) => rest.replace(from, to), raw);
    const text = leaveOut(plain.split('\n').map(withoutWidths).join('\n'));
    return isUnordered(command) ? text.split('\n').sort().join('\n') : text;
  };
  return { exit, stdout: mask(stdout), stderr: mask(stderr) };
}

/** Columns are as wide as their longest value, which may be one that varies. */
function withoutWidths(line: string): string {
  return line.replace(/(?<=\S) {2,}/g, '  ').trimEnd();
}

/** Events of one second come in any order, and so do the owners of fields. */
function isUnordered(command: string): boolean {
  return /^kubectl (?:get )?events|--show-managed-fields/.test(command);
}
