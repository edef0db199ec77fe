import { readFileSync } from 'node:fs';

/** The etcd release whose contract clients may expect here; clients decide on features by it. */
export const ETCD_VERSION = '3.6.16';
/** The cluster version this release proposes: its minor line. */
export const ETCD_CLUSTER_VERSION = '3.6.0';

let ownVersion: string | undefined;

/** The version of the installed mainstay package. */
export function mainstayVersion(): string {
  if (ownVersion === undefined) {
    // Same depth below the package's root in src/ and in dist/.
    const path = new URL('../../../package.json', import.meta.url);
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const version =
      typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : '';
    ownVersion = typeof version === 'string' ? version : '';
  }
  return ownVersion;
}

/** What `--version` prints: etcd's four lines, which scripts parse, then our own. */
export function versionText(): string {
  return (
    `etcd Version: ${ETCD_VERSION}\n` +
    `Git SHA: mainstay-${mainstayVersion()}\n` +
    `Go Version: none (Node.js ${process.versions.node})\n` +
    `Go OS/Arch: ${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}\n` +
    `mainstay Version: ${mainstayVersion()}\n`
  );
}
