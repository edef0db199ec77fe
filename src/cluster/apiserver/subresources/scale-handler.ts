/** Requests of the subresource `scale`, for every kind that has one. */
import type { Scale } from '../../../gen/kube-autoscaling-v1.js';
import { decodeObject } from '../../api/codec/decode.js';
import type { JsonObject } from '../../api/object.js';
import { methodNotSupported, unknownPath } from '../../api/status.js';
import type { Answer } from '../pipeline/exchange.js';
import { keyOf } from '../registry/object-key.js';
import { patched, readPatch, type Patch } from '../registry/patch.js';
import type { Reader } from '../registry/reader.js';
import type { SubresourceHandler } from '../registry/resource-step.js';
import { checkName, writeContext, writeQuery } from '../registry/write-request.js';
import type { Writer } from '../registry/writer.js';
import { SCALE_VIEW, scaled, scaleOf } from './scale.js';

const SCALE = {
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  message: 'autoscaling.v1.Scale',
};

export function scaleHandler(reader: Reader, writer: Writer): SubresourceHandler {
  return async (exchange, kind) => {
    const paths = kind.scale;
    if (paths === undefined) throw unknownPath();
    const { info, request } = exchange;
    if (info.verb === 'get') {
      const stored = await reader.get(kind, keyOf(kind, info.namespace, info.name), '');
      return answer(scaleOf(paths, stored.object));
    }
    if (info.verb !== 'update' && info.verb !== 'patch') throw methodNotSupported();
    const isPatch = info.verb === 'patch';
    const query = writeQuery(exchange, isPatch ? 'PatchOptions' : 'UpdateOptions');
    const body = await request.body();
    const contentType = request.header('content-type') ?? '';
    const context = writeContext(exchange, query, 'scale');
    const wantedFrom = isPatch
      ? patchedScale(readPatch(contentType, body))
      : givenScale(decodeObject(body, contentType, SCALE).object as Scale, info.name);
    const stored = await writer.update(kind, info.namespace, info.name, context, (current) =>
      scaled(kind, paths, current, wantedFrom(scaleOf(paths, current))),
    );
    return answer(scaleOf(paths, stored.object));
  };
}

function answer(value: Scale): Answer {
  return { type: 'value', status: 200, value, view: SCALE_VIEW };
}

function patchedScale(patch: Patch): (current: Scale) => Scale {
  return (current) => {
    const json = current as unknown as JsonObject;
    return patched(patch, json, SCALE, 'Ignore', []) as unknown as Scale;
  };
}

function givenScale(scale: Scale, name: string): () => Scale {
  checkName(scale, name);
  return () => scale;
}
