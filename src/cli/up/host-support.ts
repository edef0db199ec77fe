import { findProgram } from '../../base/programs.js';

/** Those that a user without root often has not on the path. */
const SYSTEM_FOLDERS = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];

/** Names, for people, of things this machine lacks for network namespaces of nodes; or empty. */
export function missingForNamespaces(): string[] {
  const has = (program: string): boolean => findProgram(program, SYSTEM_FOLDERS) !== undefined;
  return [
    ...(process.platform === 'linux' ? [] : ['Linux']),
    ...(process.geteuid?.() === 0 ? [] : ['root']),
    ...(has('ip') ? [] : ['ip (Debian package iproute2)']),
    ...(has('nsenter') ? [] : ['nsenter (Debian package util-linux)']),
  ];
}
