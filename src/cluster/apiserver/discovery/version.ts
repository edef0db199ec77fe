import { methodNotSupported } from '../../api/status.js';
import type { Step } from '../pipeline/exchange.js';
import { jsonTextAnswer } from './media.js';

/** The release of Kubernetes whose API is served; kubectl and helm judge compatibility by it. */
export const KUBERNETES_VERSION = 'v1.36.3';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** `build` is this program's own version, and stands behind that of Kubernetes. */
export function versionStep(build: string): Step {
  const [major = '', minor = ''] = KUBERNETES_VERSION.slice(1).split('.');
  const { arch, platform, version } = process;
  const value = {
    major,
    minor,
    emulationMajor: major,
    emulationMinor: minor,
    minCompatibilityMajor: major,
    minCompatibilityMinor: String(Number(minor) - 1),
    gitVersion: `${KUBERNETES_VERSION}+mainstay-${build}`,
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: `node-${version}`,
    compiler: 'v8',
    platform: `${platform}/${ARCHITECTURES[arch] ?? arch}`,
  };
  return ({ info, request }) => {
    if (info.isResource || !/^\/version\/?$/.test(info.path)) return undefined;
    if (request.method !== 'GET') throw methodNotSupported();
    // People read it: `kubectl get --raw /version`.
    return jsonTextAnswer(request, JSON.stringify(value, undefined, 2));
  };
}
