/** Checks of single values: numbers, ports, percentages, addresses, enumerations. */
import type { FieldError } from '../status.js';
import { fieldInvalid, fieldNotSupported, fieldProblems, fieldRequired } from './field-error.js';
import { parseIp } from './ip.js';
import { percentProblems, portNameProblems } from './names.js';

const MAX_INT32 = 2 ** 31 - 1;

/** A number that may be missing but not be below zero. */
export function validateNonNegative(field: string, value: number | undefined): FieldError[] {
  if (value === undefined || value >= 0) return [];
  return [fieldInvalid(field, value, 'must be greater than or equal to 0')];
}

/** A number that may be missing, from `low` to `high`, both allowed. */
export function validateRange(
  field: string,
  value: number | undefined,
  low: number,
  high: number,
): FieldError[] {
  if (value === undefined || (value >= low && value <= high)) return [];
  return [fieldInvalid(field, value, `must be between ${low} and ${high}, inclusive`)];
}

/** A user or group of Linux. */
export function validateUserId(field: string, value: number | undefined): FieldError[] {
  return validateRange(field, value, 0, MAX_INT32);
}

export function validatePort(field: string, value: number): FieldError[] {
  return validateRange(field, value, 1, 65_535);
}

/** The number of a port, or the name of a container's port. */
export function validatePortReference(field: string, value: number | string): FieldError[] {
  if (typeof value === 'number') return validatePort(field, value);
  return fieldProblems(field, value, portNameProblems(value));
}

/** A number that is not negative, or a percentage. */
export function validateNonNegativeIntOrPercent(
  field: string,
  value: number | string,
): FieldError[] {
  if (typeof value === 'number') return validateNonNegative(field, value);
  return fieldProblems(field, value, percentProblems(value));
}

/** The number of `50%`, or undefined for anything that is not a percentage. */
export function percentOf(value: number | string): number | undefined {
  if (typeof value === 'number' || percentProblems(value).length > 0) return undefined;
  return Number(value.slice(0, -1));
}

/** One of a few texts. An empty one is required if `emptyIsMissing`, else not supported. */
export function validateOneOf(
  field: string,
  value: string | undefined,
  supported: readonly string[],
  emptyIsMissing = false,
): FieldError[] {
  const given = value ?? '';
  if (given === '' && emptyIsMissing) return [fieldRequired(field)];
  return supported.includes(given) ? [] : [fieldNotSupported(field, given, supported)];
}

/** An IP address as older fields take it: any notation, but no leading zeros, no IPv4 within IPv6. */
export function validateIpLoosely(field: string, value: string): FieldError[] {
  const address = parseIp(value);
  if (address === undefined) return [fieldInvalid(field, value, NOT_AN_IP)];
  if (address.hasLeadingZero) return [fieldInvalid(field, value, 'must not have leading 0s')];
  if (address.isMapped)
    return [fieldInvalid(field, value, 'must not be an IPv4-mapped IPv6 address')];
  return [];
}

const NOT_AN_IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
