import type { RequestInfo, User } from '../pipeline/exchange.js';

/** A request as authorization looks at it. */
export interface Attributes {
  readonly user: User;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
}

export type Decision =
  | { readonly isAllowed: true }
  | {
      readonly isAllowed: false;
      /** Stands behind the sentence of `cannot`; may be empty. */
      readonly reason: string;
      /** Instead of that sentence. */
      readonly message?: string;
    };

/** The sentence that clients know, as `User "u" cannot list resource "pods" in API group "" at the cluster scope`. */
function cannot(user: User, info: RequestInfo): string {
  const { verb, resource, subresource, group, namespace } = info;
  if (!info.isResource) return `User "${user.name}" cannot ${verb} path "${info.path}"`;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return `User "${user.name}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`;
}

/** Of a refusal, what follows "is forbidden: ". */
export function whyNot(
  decision: Extract<Decision, { readonly isAllowed: false }>,
  { user, info }: Attributes,
): string {
  const { message, reason } = decision;
  return message ?? `${cannot(user, info)}${reason === '' ? '' : `: ${reason}`}`;
}
