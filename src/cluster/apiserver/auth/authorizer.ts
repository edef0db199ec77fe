/**
 * Rights of users. A fixed table stands for RBAC: administrators, the components of the control
 * plane, nodes, and requests open to every authenticated client. Everything else is forbidden.
 */
import { apiError, forbidden } from '../../api/status.js';
import type { Step } from '../pipeline/exchange.js';
import { whyNot, type Attributes, type Decision } from './decision.js';
import { decideForNode, nodeNameOf, type NodeObjects } from './node-rules.js';
import { matches, rulesOf } from './rules.js';

export type Authorizer = (attributes: Attributes) => Decision;

export function fixedAuthorizer(objects: NodeObjects): Authorizer {
  return (attributes) => {
    const { user, info } = attributes;
    if (user.groups.includes('system:masters')) return { isAllowed: true };
    if (rulesOf(user).some((rule) => matches(rule, info))) return { isAllowed: true };
    const nodeName = nodeNameOf(user);
    if (nodeName !== undefined && info.isResource)
      return decideForNode(nodeName, attributes, objects);
    return { isAllowed: false, reason: '' };
  };
}

/** Throws: ApiError 403. */
export function authorizationStep(authorize: Authorizer): Step {
  return ({ user, info, request }) => {
    const attributes = { user, info, query: request.query };
    const decision = authorize(attributes);
    if (decision.isAllowed) return undefined;
    const why = whyNot(decision, attributes);
    if (!info.isResource) throw apiError(403, 'Forbidden', `forbidden: ${why}`, {});
    throw forbidden(info, info.name, why);
  };
}
