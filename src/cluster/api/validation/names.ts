/**
 * Rules of names and short texts (k8s.io/apimachinery pkg/util/validation). Each returns what is
 * wrong with a text, in Kubernetes' words; nothing when it is fine.
 */
export type TextRule = (text: string) => string[];

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const LABEL_1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const LABEL_UNDERSCORE = '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const SUBDOMAIN_UNDERSCORE = `${LABEL_UNDERSCORE}(\\.${LABEL_UNDERSCORE})*`;
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL_VALUE = `(${QUALIFIED})?`;
const CONFIG_KEY = '[-._a-zA-Z0-9]+';

/** A regular expression, with how a text that it refuses is explained. */
interface Pattern {
  readonly regex: RegExp;
  readonly problem: string;
}

function pattern(source: string, rule: string, ...examples: string[]): Pattern {
  const list = examples.map((example) => `'${example}'`).join(',  or ');
  return {
    regex: new RegExp(`^(?:${source})$`),
    problem: `${rule} (e.g. ${list}, regex used for validation is '${source}')`,
  };
}

const dnsLabel = pattern(
  LABEL,
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  'my-name',
  '123-abc',
);
const dnsLabel1035 = pattern(
  LABEL_1035,
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
  'my-name',
  'abc-123',
);
const subdomain = pattern(
  SUBDOMAIN,
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  'example.com',
);
const searchDomain = pattern(
  SUBDOMAIN_UNDERSCORE,
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
  'example.com',
);
const qualifiedPart = pattern(
  QUALIFIED,
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  'MyName',
  'my.name',
  '123-abc',
);
const labelValue = pattern(
  LABEL_VALUE,
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  'MyValue',
  'my_value',
  '12345',
);
const configKey = pattern(
  CONFIG_KEY,
  "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
  'key.name',
  'KEY_NAME',
  'key-name',
);
const percent = pattern(
  '[0-9]+%',
  "a valid percent string must be a numeric string followed by an ending '%'",
  '1%',
  '93%',
);
const headerName = pattern(
  '[-A-Za-z0-9]+',
  "a valid HTTP header must consist of alphanumeric characters or '-'",
  'X-Header-Name',
);

function refused({ regex, problem }: Pattern, text: string): string[] {
  return regex.test(text) ? [] : [problem];
}

function tooLong(text: string, max: number, unit: 'characters' | 'bytes' = 'characters'): string[] {
  return Buffer.byteLength(text) > max ? [`must be no more than ${max} ${unit}`] : [];
}

/** RFC 1123 label: up to 63 of a-z, 0-9 and `-`. */
export function dnsLabelProblems(text: string): string[] {
  const hasOnlyDotsWrong = !dnsLabel.regex.test(text) && subdomain.regex.test(text);
  const form = hasOnlyDotsWrong ? ['must not contain dots'] : refused(dnsLabel, text);
  return [...tooLong(text, 63), ...form];
}

/** RFC 1035 label: as an RFC 1123 label, but begins with a letter. */
export function dnsLabel1035Problems(text: string): string[] {
  return [...tooLong(text, 63), ...refused(dnsLabel1035, text)];
}

/** RFC 1123 subdomain: labels joined by dots, up to 253 characters. */
export function subdomainProblems(text: string): string[] {
  return [...tooLong(text, 253), ...refused(subdomain, text)];
}

/** A DNS search domain, in which labels may hold underscores. */
export function searchDomainProblems(text: string): string[] {
  return [...tooLong(text, 253), ...refused(searchDomain, text)];
}

/** `name` or `prefix.example.com/name`: keys of labels and annotations, conditions, resources. */
export function qualifiedNameProblems(text: string): string[] {
  const parts = text.split('/');
  const [first = '', second] = parts;
  if (parts.length > 2) {
    const { problem } = qualifiedPart;
    return [
      `a valid label key ${problem} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const name = second ?? first;
  const prefix = first === '' ? ['must be non-empty'] : subdomainProblems(first).map(asBytes);
  const found = [
    ...(name === '' ? ['must be non-empty'] : tooLong(name, 63, 'bytes')),
    ...refused(qualifiedPart, name),
  ];
  return [
    ...(second === undefined ? [] : prefix.map((problem) => `prefix part ${problem}`)),
    ...found.map((problem) => `name part ${problem}`),
  ];
}

function asBytes(problem: string): string {
  return problem.replace(/ characters$/, ' bytes');
}

export function labelValueProblems(text: string): string[] {
  return [...tooLong(text, 63, 'bytes'), ...refused(labelValue, text)];
}

/** A key of a ConfigMap or Secret, which may become a file name. */
export function configKeyProblems(text: string): string[] {
  return [...tooLong(text, 253), ...refused(configKey, text), ...parentDirProblems(text)];
}

function parentDirProblems(text: string): string[] {
  if (text === '.') return ["must not be '.'"];
  if (text === '..') return ["must not be '..'"];
  return text.startsWith('..') ? ["must not start with '..'"] : [];
}

export function envVarNameProblems(text: string): string[] {
  if (text === '') return ['environment variable name must be non-empty'];
  if (/^[ -<>-~]+$/.test(text)) return [];
  return [
    "a valid environment variable name must consist only of printable ASCII characters other than '='",
  ];
}

/** IANA service name, in lower case: up to 15 characters. */
export function portNameProblems(text: string): string[] {
  return [
    ...tooLong(text, 15),
    ...when(
      !/^[-a-z0-9]+$/.test(text),
      'must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    ),
    ...when(!/[a-z]/.test(text), 'must contain at least one letter (a-z)'),
    ...when(text.includes('--'), 'must not contain consecutive hyphens'),
    ...when(/^-|-$/.test(text), 'must not begin or end with a hyphen'),
  ];
}

export function percentProblems(text: string): string[] {
  return refused(percent, text);
}

export function headerNameProblems(text: string): string[] {
  return refused(headerName, text);
}

/** A name that stands as one segment of a path: RBAC's roles. */
export function pathSegmentProblems(text: string): string[] {
  if (text === '.' || text === '..') return [`may not be '${text}'`];
  return pathSegmentPrefixProblems(text);
}

/** The beginning of a path segment, as generateName. */
export function pathSegmentPrefixProblems(text: string): string[] {
  return ['/', '%']
    .filter((char) => text.includes(char))
    .map((char) => `may not contain '${char}'`);
}

function when(condition: boolean, problem: string): string[] {
  return condition ? [problem] : [];
}
