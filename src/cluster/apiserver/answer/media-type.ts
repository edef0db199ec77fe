/**
 * Form of an answer that a client wants: the Accept header against the forms this server can make.
 * A clause that asks for protobuf or CBOR is passed over; every known client offers JSON beside it.
 */
import { apiError, notAcceptable } from '../../api/status.js';

export interface MediaType {
  readonly serializer: 'json' | 'yaml';
  /** A view of the object (meta.k8s.io), or the object itself. */
  readonly as: '' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';
  /** Version of the view. */
  readonly version: string;
}

const SERVED: Readonly<Record<string, MediaType['serializer']>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  '*/*': 'json',
  'application/*': 'json',
};
const VIEWS: ReadonlySet<string> = new Set([
  'Table',
  'PartialObjectMetadata',
  'PartialObjectMetadataList',
]);
const NAMES = ['application/json', 'application/yaml'];

/** Throws: ApiError 406. */
export function negotiate(accept: string | undefined): MediaType {
  if (accept === undefined || accept.trim() === '') {
    return { serializer: 'json', as: '', version: '' };
  }
  let isKnownType = false;
  for (const { type, params } of clausesOf(accept)) {
    const serializer = SERVED[type];
    if (serializer === undefined) continue;
    isKnownType = true;
    const as = params.get('as') ?? '';
    if (as === '') return { serializer, as: '', version: '' };
    const version = params.get('v') ?? '';
    const isView = VIEWS.has(as) && params.get('g') === 'meta.k8s.io';
    if (isView && (version === 'v1' || version === 'v1beta1')) {
      return { serializer, as: as as MediaType['as'], version };
    }
  }
  if (isKnownType) throw notAcceptable(NAMES);
  throw apiError(
    406,
    'NotAcceptable',
    `406: Not Acceptable\n\nAvailable representations: ${NAMES.join(', ')}`,
    {},
  );
}

/** For documents of which there are no views. Throws: ApiError 406 when a client takes only those. */
export function refuseViews(accept: string | undefined): void {
  if (negotiate(accept).as === '') return;
  const plain = clausesOf(accept ?? '').filter(({ params }) => !params.has('as'));
  if (!plain.some(({ type }) => SERVED[type] !== undefined)) throw notAcceptable(NAMES);
}

export interface Clause {
  readonly type: string;
  readonly params: ReadonlyMap<string, string>;
  readonly quality: number;
}

/** Clauses by descending quality; equal ones in the order given. */
export function clausesOf(accept: string): Clause[] {
  const clauses = accept.split(',').map((text) => {
    const [type = '', ...pairs] = text.split(';').map((part) => part.trim());
    const params = new Map(
      pairs.map((pair) => {
        const at = pair.indexOf('=');
        return at === -1 ? [pair, ''] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
      }),
    );
    const quality = Number(params.get('q') ?? '1');
    return { type: type.toLowerCase(), params, quality: Number.isNaN(quality) ? 0 : quality };
  });
  return clauses.filter(({ quality }) => quality > 0).sort((a, b) => b.quality - a.quality);
}
