/** PUT .../namespaces/NAME/finalize: changes spec.finalizers, without which a deleted namespace goes. */
import type { Namespace } from '../../../gen/kube-core-v1.js';
import { decodeObject } from '../../api/codec/decode.js';
import { badRequest } from '../../api/status.js';
import type { SubresourceHandler } from '../registry/resource-step.js';
import { parseWriteQuery } from '../registry/write-options.js';
import type { UpdateRules } from '../registry/update-rules.js';
import type { Writer } from '../registry/writer.js';
import { namespaceFinalize } from '../../api/kinds/core/namespace-finalize.js';
import type { KubeObject } from '../../api/object.js';
import { fieldSetOf } from '../../api/patch/field-set.js';

const RULES: UpdateRules = {
  prepareUpdate: (next, old) =>
    namespaceFinalize.prepareUpdate(next as Namespace, old as Namespace),
  validateUpdate: (next, old) =>
    namespaceFinalize.validateUpdate(next as Namespace, old as Namespace),
  countsGeneration: false,
  resetFields: fieldSetOf(),
};

export function finalizeHandler(writer: Writer): SubresourceHandler {
  return async ({ info, request, user, warnings }, kind) => {
    const query = parseWriteQuery(request.query, request.header('user-agent'), 'UpdateOptions');
    const contentType = request.header('content-type') ?? '';
    const { object: wanted } = decodeObject<Namespace>(await request.body(), contentType, kind);
    const { name = info.name, resourceVersion } = wanted.metadata;
    if (name !== info.name) {
      throw badRequest(
        `the name of the object (${name}) does not match the name on the URL (${info.name})`,
      );
    }
    const { manager, isDryRun } = query;
    const context = { user, manager, isDryRun, subresource: 'finalize', warnings };
    const change = (current: KubeObject): KubeObject => {
      const next = structuredClone(current) as Namespace;
      next.metadata.resourceVersion = resourceVersion;
      next.spec = { finalizers: wanted.spec.finalizers };
      return next;
    };
    const stored = await writer.update(kind, '', info.name, context, change, RULES);
    return { type: 'object', status: 200, kind, stored };
  };
}
