import { stringify } from 'yaml';

/** JSON as YAML with sorted keys, as Kubernetes writes it. */
export function toYaml(value: object): string {
  return stringify(value, { sortMapEntries: true, lineWidth: 0, indentSeq: false });
}
