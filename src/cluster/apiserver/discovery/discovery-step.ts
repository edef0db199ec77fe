/** GET of /api, /apis and what is below them, without resources. */
import { createHash } from 'node:crypto';
import { methodNotSupported, unknownPath } from '../../api/status.js';
import { clausesOf, refuseViews } from '../answer/media-type.js';
import type { Answer, ApiRequest, Exchange, Step } from '../pipeline/exchange.js';
import { ServedGroups } from './documents.js';
import type { DiscoveredKind } from './discovered-kind.js';
import { pageNotFound } from './media.js';

const AGGREGATED_TYPE = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

/** Types in which the legacy documents come. */
const LEGACY_TYPES: ReadonlySet<string> = new Set([
  'application/json',
  'application/yaml',
  'application/*',
  '*/*',
]);

/** Answers all of discovery. `advertised` is host and port of this server, as other machines reach it. */
export function discoveryStep(kinds: readonly DiscoveredKind[], advertised: string): Step {
  const groups = new ServedGroups(kinds);
  const core = new AggregatedDocument(() => groups.aggregated(true));
  const others = new AggregatedDocument(() => groups.aggregated(false));
  return (exchange) => {
    const { info, request } = exchange;
    if (info.isResource) return undefined;
    const [root, group = '', version = '', ...rest] = segments(info.path);
    if ((root !== 'api' && root !== 'apis') || rest.length > 0) return undefined;
    if (root === 'apis' && group === '') {
      // Of all documents this one alone asks for no method.
      return wantsAggregated(request)
        ? others.answer(request)
        : legacy(request, groups.groupList());
    }
    if (root === 'api' && group === '') {
      requireGet(exchange);
      return wantsAggregated(request)
        ? core.answer(request)
        : legacy(request, coreVersions(advertised));
    }
    return root === 'api'
      ? resourceList(groups, exchange, '', group)
      : ofGroup(groups, exchange, group, version);
  };
}

/**
 * The last step: nothing answers. Below groups that are served a Status says so, elsewhere a page, as
 * the parts of a real server do.
 */
export function notFoundStep(kinds: readonly DiscoveredKind[]): Step {
  const { versions } = new ServedGroups(kinds);
  return ({ info }) => {
    const [root, group = ''] = segments(info.path);
    const isBelowApi = root === 'api' || (root === 'apis' && versions.has(group));
    if (isBelowApi) throw unknownPath();
    return pageNotFound();
  };
}

function segments(path: string): string[] {
  return path.replace(/^\/|\/$/g, '').split('/');
}

function ofGroup(
  groups: ServedGroups,
  exchange: Exchange,
  group: string,
  version: string,
): Answer | undefined {
  if (group === '' || !groups.versions.has(group)) return undefined;
  if (version !== '') return resourceList(groups, exchange, group, version);
  requireGet(exchange);
  const document = { kind: 'APIGroup', apiVersion: 'v1', ...groups.group(group) };
  return legacy(exchange.request, document);
}

function resourceList(
  groups: ServedGroups,
  exchange: Exchange,
  group: string,
  version: string,
): Answer | undefined {
  if (!groups.hasVersion(group, version)) return undefined;
  requireGet(exchange);
  return legacy(exchange.request, groups.resourceList(group, version));
}

function coreVersions(advertised: string): object {
  const serverAddressByClientCIDRs = [{ clientCIDR: '0.0.0.0/0', serverAddress: advertised }];
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs };
}

function legacy(request: ApiRequest, value: object): Answer {
  refuseViews(request.header('accept'));
  return { type: 'value', status: 200, value };
}

function requireGet({ request }: Exchange): void {
  if (request.method !== 'GET') throw methodNotSupported();
}

/** The client offers the aggregated form before any other that is served. */
function wantsAggregated(request: ApiRequest): boolean {
  for (const { type, params } of clausesOf(request.header('accept') ?? '')) {
    const view = params.get('as') ?? '';
    if (view === '' && LEGACY_TYPES.has(type)) return false;
    const isGroup = params.get('g') === 'apidiscovery.k8s.io' && params.get('v') === 'v2';
    if (type === 'application/json' && view === 'APIGroupDiscoveryList' && isGroup) return true;
  }
  return false;
}

/** Made when first asked for, and named by the hash of its bytes. */
class AggregatedDocument {
  private readonly make: () => object;
  private made: { readonly bytes: Uint8Array; readonly tag: string } | undefined;

  constructor(make: () => object) {
    this.make = make;
  }

  answer(request: ApiRequest): Answer {
    this.made ??= this.encode();
    const { bytes, tag } = this.made;
    const headers = { etag: tag, vary: 'Accept', 'cache-control': 'public' };
    const isKnown = request.header('if-none-match') === tag;
    return {
      type: 'text',
      status: isKnown ? 304 : 200,
      contentType: AGGREGATED_TYPE,
      text: isKnown ? '' : bytes,
      headers,
    };
  }

  private encode(): { readonly bytes: Uint8Array; readonly tag: string } {
    const bytes = Buffer.from(JSON.stringify(this.make()));
    const hash = createHash('sha512').update(bytes).digest('hex').toUpperCase();
    return { bytes, tag: `"${hash}"` };
  }
}
