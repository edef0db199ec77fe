/** Facts of a type for a strategic merge patch: strategies and merge keys of its fields. */
import type { Field } from '../schema/message.js';
import { schemaOf, type Schema } from '../schema/table.js';
import { apiError } from '../status.js';

/** A type as the patch meets it on its way down. */
export interface PatchType {
  /** Sort of the Go type: `struct`, `map`, `string`. */
  readonly goKind: string;
  readonly schema: Schema | undefined;
}

export interface PatchField {
  /** Empty: objects are merged, lists replaced. */
  readonly strategy: 'merge' | 'replace' | '';
  /** Empty for none. */
  readonly mergeKey: string;
  /** Of the object, or of the list's elements. */
  readonly element: PatchType;
}

export function patchTypeOf(schema: Schema): PatchType {
  return { goKind: 'struct', schema };
}

/**
 * The field of a type that a patch names. Throws: ApiError 500 with the text of Kubernetes when
 * there is none, or when it is no list although it is patched as one.
 */
export function patchFieldOf(type: PatchType, name: string, as: 'object' | 'list'): PatchField {
  if (type.goKind !== 'struct')
    throw apiError(
      500,
      '',
      `merging an object in json but data type is not struct, instead is: ${type.goKind}`,
    );
  const field = type.schema?.byName.get(name);
  if (field === undefined) {
    const struct = type.schema?.name.split('.').at(-1) ?? 'RawExtension';
    throw apiError(
      500,
      '',
      `unable to find api field in struct ${struct} for the json field ${JSON.stringify(name)}`,
    );
  }
  if (as === 'list' && field.shape !== 'list' && !field.isPointer)
    throw apiError(500, '', `expected slice or array type, but got: ${type.goKind}`);
  const strategy = field.patch.find((one) => one !== 'retainKeys') ?? '';
  return {
    strategy,
    mergeKey: field.mergeKey,
    element: elementOf(field),
  };
}

function elementOf(field: Field): PatchType {
  if (field.shape === 'map' || field.shape === 'mapOfLists')
    return { goKind: 'map', schema: undefined };
  if (field.message !== '') return patchTypeOf(schemaOf(field.message));
  const isScalar = ['string', 'bool', 'int32', 'int64'].includes(field.scalar);
  return { goKind: isScalar ? field.scalar : 'struct', schema: undefined };
}
