/**
 * Last step of the pipeline: finds the handler of a request about a resource, or says which part of
 * the request leads nowhere.
 */
import type { Kind, Verb } from '../../api/kinds/kind.js';
import { methodNotSupported, unknownPath } from '../../api/status.js';
import type { Answer, Exchange, RequestInfo, Step } from '../pipeline/exchange.js';
import type { Reader } from './reader.js';
import { Verbs } from './verbs.js';
import type { Writer } from './writer.js';

/** Answers requests of one subresource: the method is checked already. */
export type SubresourceHandler = (exchange: Exchange, kind: Kind) => Promise<Answer>;

export interface ResourceStepSetup {
  readonly reader: Reader;
  readonly writer: Writer;
  /** Of every kind that has one. */
  readonly scale: SubresourceHandler;
  /** `pods/log` and so on, without status and scale. */
  readonly subresources: ReadonlyMap<string, SubresourceHandler>;
}

export function resourceStep(setup: ResourceStepSetup): Step {
  const verbs = new Verbs(setup.reader, setup.writer);
  return (exchange) => {
    const { kind, info, request } = exchange;
    if (kind === undefined) return undefined;
    // A namespace is in no namespace but itself.
    const isMisplaced = !kind.isNamespaced && info.namespace !== '' && info.namespace !== info.name;
    if (isMisplaced) throw unknownPath();
    if (request.method === 'HEAD') throw methodNotSupported();
    if (info.subresource === '') return ofResource(verbs, exchange, kind);
    if (info.subresource === 'status' && kind.status !== undefined) {
      return ofStatus(verbs, exchange, kind);
    }
    if (info.subresource === 'scale' && kind.scale !== undefined) {
      return setup.scale(exchange, kind);
    }
    const handler = setup.subresources.get(`${kind.resource}/${info.subresource}`);
    const known = kind.subresources.find(({ name }) => name === info.subresource);
    if (handler === undefined || known === undefined) throw unknownPath();
    if (!known.verbs.some((verb) => verb === info.verb)) throw methodNotSupported();
    return handler(exchange, kind);
  };
}

function ofResource(verbs: Verbs, exchange: Exchange, kind: Kind): Promise<Answer> {
  const { verb } = exchange.info;
  if (kind.deprecation !== undefined) exchange.warnings.push(kind.deprecation);
  if (!isServed(kind, verb) || !isOfPath(kind, exchange.info)) throw methodNotSupported();
  switch (verb as Verb) {
    case 'get':
      return verbs.get(exchange, kind);
    case 'list':
    case 'watch':
      return verbs.listOrWatch(exchange, kind);
    case 'create':
      return verbs.create(exchange, kind);
    case 'update':
      return verbs.update(exchange, kind, '');
    case 'patch':
      return verbs.patch(exchange, kind, '');
    case 'delete':
      return verbs.delete(exchange, kind);
    case 'deletecollection':
      return verbs.deleteCollection(exchange, kind);
  }
}

async function ofStatus(verbs: Verbs, exchange: Exchange, kind: Kind): Promise<Answer> {
  switch (exchange.info.verb) {
    case 'get':
      return verbs.get(exchange, kind);
    case 'update':
      return verbs.update(exchange, kind, 'status');
    case 'patch':
      return verbs.patch(exchange, kind, 'status');
    default:
      throw methodNotSupported();
  }
}

function isServed(kind: Kind, verb: string): boolean {
  return kind.verbs.some((served) => served === verb);
}

/** Collections are read and created in; across all namespaces they are only read. */
function isOfPath(kind: Kind, { verb, name, namespace }: RequestInfo): boolean {
  const isInScope = !kind.isNamespaced || namespace !== '';
  switch (verb) {
    case 'create':
      return name === '' && isInScope;
    case 'update':
    case 'patch':
    case 'delete':
      return name !== '' && isInScope;
    case 'deletecollection':
      return isInScope;
    default:
      return true;
  }
}
