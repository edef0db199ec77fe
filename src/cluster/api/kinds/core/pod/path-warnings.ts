/** Files of a volume that would hide each other. */
import type { Volume, VolumeProjection } from '../../../../../gen/kube-core-v1.js';
import { goQuote } from '../../../validation/field-error.js';

interface Mapping {
  readonly path: string;
  /** Source of the file, for people; empty when the volume has one source only. */
  readonly source: string;
}

export function pathWarnings(volumes: readonly Volume[]): string[] {
  return volumes.flatMap(({ name, configMap, secret, downwardAPI, projected }) => {
    const simple = (
      description: string,
      items: readonly { readonly path: string }[] | undefined,
    ): string[] =>
      overlaps((items ?? []).map(({ path }) => ({ path, source: '' }))).map(
        (overlap) => `volume ${goQuote(name)} (${description}): overlapping paths: ${overlap}`,
      );
    const sources = projected?.sources ?? [];
    const empty = sources.filter((source) => isEmpty(source));
    return [
      ...simple(`ConfigMap ${goQuote(configMap?.name ?? '')}`, configMap?.items),
      ...simple(`Secret ${goQuote(secret?.secretName ?? '')}`, secret?.items),
      ...simple('DownwardAPI', downwardAPI?.items),
      ...empty.map(() => `volume ${goQuote(name)} (Projected) has no sources provided`),
      ...overlaps(sources.flatMap(mappingsOf)).map(
        (overlap) => `volume ${goQuote(name)} (Projected): overlapping paths: ${overlap}`,
      ),
    ];
  });
}

function isEmpty(source: VolumeProjection): boolean {
  return Object.values(source).every((value) => value === undefined);
}

function mappingsOf(source: VolumeProjection): Mapping[] {
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle } = source;
  const from = (
    description: string,
    items: readonly { readonly path: string }[] | undefined,
  ): Mapping[] => (items ?? []).map(({ path }) => ({ path, source: description }));
  if (configMap !== undefined)
    return from(`ConfigMap ${goQuote(configMap.name ?? '')}`, configMap.items);
  if (secret !== undefined) return from(`Secret ${goQuote(secret.name ?? '')}`, secret.items);
  if (downwardAPI !== undefined) return from('DownwardAPI', downwardAPI.items);
  if (serviceAccountToken !== undefined) return from('ServiceAccountToken', [serviceAccountToken]);
  if (clusterTrustBundle !== undefined) {
    const name = clusterTrustBundle.name ?? clusterTrustBundle.signerName ?? '';
    return from(`ClusterTrustBundle ${goQuote(name)}`, [clusterTrustBundle]);
  }
  const { certificateChainPath, keyPath, credentialBundlePath } = source.podCertificate ?? {};
  const files = [
    [certificateChainPath, 'PodCertificate chain'],
    [keyPath, 'PodCertificate key'],
    [credentialBundlePath, 'PodCertificate credential bundle'],
  ] as const;
  return files.flatMap(([path = '', description]) =>
    path === '' ? [] : [{ path, source: description }],
  );
}

function overlaps(mappings: readonly Mapping[]): string[] {
  const all = mappings.map(({ path, source }) => ({ path: path.replace(/\/+$/, ''), source }));
  return all.flatMap((mapping, index) =>
    all
      .slice(0, index)
      .filter(({ path }) => hides(path, mapping.path))
      .map((other) => `${shown(mapping)} with ${shown(other)}`),
  );
}

function hides(a: string, b: string): boolean {
  if (a === '' || b === '') return false;
  return `${a}/`.startsWith(`${b}/`) || `${b}/`.startsWith(`${a}/`);
}

function shown({ path, source }: Mapping): string {
  return source === '' ? goQuote(path) : `${goQuote(path)} (${source})`;
}
