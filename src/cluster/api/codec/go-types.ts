/**
 * Names of types as Go's decoder tells them in its errors.
 */
import type { Field, ScalarType } from '../schema/message.js';

const SCALARS: Readonly<Partial<Record<ScalarType, string>>> = {
  double: 'float64',
  bytes: '[]uint8',
  time: 'v1.Time',
  microtime: 'v1.MicroTime',
  duration: 'v1.Duration',
  quantity: 'resource.Quantity',
  intOrString: 'intstr.IntOrString',
  raw: 'runtime.RawExtension',
  fieldsV1: 'v1.FieldsV1',
};

/** `Container` of `core.v1.Container`. */
export function shortName(message: string): string {
  return message.slice(message.lastIndexOf('.') + 1);
}

/** `v1.Container` of `core.v1.Container`: Go names the last part of a package only. */
export function goName(message: string): string {
  return message.split('.').slice(-2).join('.');
}

/** Of a whole field: `[]v1.Container`, `map[string]string`, `int32`. */
export function typeOf(field: Field): string {
  if (field.goType !== '') return field.goType;
  const element = elementName(field);
  switch (field.shape) {
    case 'single':
      return element;
    case 'list':
      return `[]${element}`;
    case 'map':
      return `map[string]${element}`;
    case 'mapOfLists':
      return `map[string][]${element}`;
  }
}

/** Of one element of a list or map, or of the whole field if it is single. */
export function elementType(field: Field): string {
  if (field.shape === 'single') return typeOf(field);
  if (field.shape === 'mapOfLists') return elementName(field);
  return innerType(field) ?? elementName(field);
}

/** Of a list that is a value of a map. */
export function innerListType(field: Field): string {
  return innerType(field) ?? `[]${elementName(field)}`;
}

function innerType({ goType }: Field): string | undefined {
  return /^(?:\[\]|map\[[^\]]*\])(.*)$/.exec(goType)?.[1];
}

function elementName({ message, scalar }: Field): string {
  return message === '' ? (SCALARS[scalar as ScalarType] ?? scalar) : goName(message);
}
