import { readFileSync } from 'node:fs';

/** The etcd release whose contract clients may expect here; clients decide on features by it. */
export const ETCD_VERSION = '3.6.16';
/** The cluster version this release proposes: its minor line. */
export const ETCD_CLUSTER_VERSION = '3.6.0';

/** Set by the build (scripts/build.ts), so that a start need not read package.json. */
declare const MAINSTAY_VERSION: string | undefined;

let ownVersion: string | undefined;

/** The version of the mainstay package. */
export function mainstayVersion(): string {
  ownVersion ??= typeof MAINSTAY_VERSION === 'string' ? MAINSTAY_VERSION : readVersion();
  return ownVersion;
}

function readVersion(): string {
  const path = new URL('../../../package.json', import.meta.url);
  const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
  const version =
    typeof parsed === 'object' && parsed !== null && 'version' in parsed ? parsed.version : '';
  return typeof version === 'string' ? version : '';
}

/** The processor's architecture by the name Go gives it. */
export function goArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}

/** The line of `mainstay --version`. */
export function versionLine(): string {
  return `mainstay ${mainstayVersion()} (etcd API ${ETCD_VERSION})`;
}

/** Output of `mainstay server --version`: etcd's four lines, which scripts parse, then our own. */
export function versionText(): string {
  return (
    `etcd Version: ${ETCD_VERSION}\n` +
    `Git SHA: mainstay-${mainstayVersion()}\n` +
    `Go Version: none (Node.js ${process.versions.node})\n` +
    `Go OS/Arch: ${process.platform}/${goArchitecture()}\n` +
    `mainstay Version: ${mainstayVersion()}\n`
  );
}
