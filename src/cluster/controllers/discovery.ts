/** Resources of the API server, custom ones too, for controllers of objects of every kind. */
import type {
  APIGroupList,
  APIResource,
  APIResourceList,
  APIVersions,
} from '../../gen/kube-meta-v1.js';
import type { ResourceType } from '../api/kinds/kind.js';
import { splitApiVersion } from '../api/object.js';
import type { KubeClient } from '../client/client.js';
import { messageOf } from './errors.js';

export interface DiscoveredResource extends ResourceType {
  readonly verbs: readonly string[];
}

export interface Discovered {
  readonly resources: readonly DiscoveredResource[];
  /** Group versions that did not answer, as `apps/v1: why`: their resources are unknown. */
  readonly failures: readonly string[];
}

/** Every resource once, in the preferred version of its group. Throws: when nothing is known. */
export async function discover(client: KubeClient, signal: AbortSignal): Promise<Discovered> {
  const { versions = [] } = await client.getPath<APIVersions>('/api', { signal });
  const { groups } = await client.getPath<APIGroupList>('/apis', { signal });
  const preferred = groups.map(
    (group) => group.preferredVersion?.groupVersion ?? group.versions[0]?.groupVersion ?? '',
  );
  const paths = [
    ...versions.map((version) => `/api/${version}`),
    ...preferred.filter((groupVersion) => groupVersion !== '').map((name) => `/apis/${name}`),
  ];
  const failures: string[] = [];
  const lists = await Promise.all(
    paths.map(async (path) => {
      try {
        return resourcesOf(await client.getPath<APIResourceList>(path, { signal }));
      } catch (error) {
        failures.push(`${path.replace(/^\/apis?\//, '')}: ${messageOf(error)}`);
        return [];
      }
    }),
  );
  return { resources: lists.flat(), failures };
}

function resourcesOf({ groupVersion, resources }: APIResourceList): DiscoveredResource[] {
  const { group, version } = splitApiVersion(groupVersion);
  return resources
    .filter(({ name }: APIResource) => !name.includes('/'))
    .map(({ name, kind, namespaced, verbs }) => ({
      group,
      version,
      kind,
      resource: name,
      isNamespaced: namespaced,
      verbs,
    }));
}

export function supports({ verbs }: DiscoveredResource, ...wanted: readonly string[]): boolean {
  return wanted.every((verb) => verbs.includes(verb));
}
