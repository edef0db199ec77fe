import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];

/** What this machine lacks for network namespaces of nodes, for people; empty when nothing. */
export function missingForNamespaces(): string[] {
  const missing: string[] = [];
  if (process.platform !== 'linux') missing.push('Linux');
  if (process.geteuid?.() !== 0) missing.push('root');
  if (!isOnPath('ip')) missing.push('ip (Debian package iproute2)');
  if (!isOnPath('nsenter')) missing.push('nsenter (Debian package util-linux)');
  return missing;
}

function isOnPath(program: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SYSTEM_FOLDERS];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
