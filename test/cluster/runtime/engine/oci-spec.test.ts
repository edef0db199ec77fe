import { expect } from 'chai';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { processArgs } from '../../../../src/cluster/runtime/container-process.js';
import { resolveUser } from '../../../../src/cluster/runtime/engine/image-user.js';
import { ociSpec, type SpecInput } from '../../../../src/cluster/runtime/engine/oci-spec.js';
import { RuntimeError } from '../../../../src/cluster/runtime/runtime.js';
import { containerConfig } from '../container-config.js';

const IMAGE = {
  entrypoint: ['/entry'],
  cmd: ['image', 'args'],
  env: ['FROM_IMAGE=1', 'PATH=/image/bin'],
  user: '',
  workingDir: '/work',
  stopSignal: '',
};

interface Spec {
  process: { args: string[]; env: string[]; cwd: string; oomScoreAdj: number };
  mounts: { destination: string; options: string[]; source: string }[];
  linux: {
    namespaces: { type: string; path?: string }[];
    resources: { cpu: object; memory: object };
    maskedPaths: string[];
    rootfsPropagation: string;
  };
}

function specOf(change: Partial<SpecInput> = {}): Spec {
  return ociSpec({
    config: containerConfig(),
    image: IMAGE,
    user: { uid: 0, gid: 0, additionalGids: [] },
    capabilities: [],
    hostname: 'web',
    namespacePaths: { network: '/ns/net' },
    pidMode: 'container',
    cgroupsPath: '/pods/a',
    shmPath: '/ns/shm',
    sandboxMounts: [],
    minOomScoreAdj: 0,
    ...change,
  }) as Spec;
}

describe('the description of a container for runc', () => {
  it('does not ask for a score lower than the node can give', () => {
    const { resources } = containerConfig();
    const config = containerConfig({ resources: { ...resources, oomScoreAdj: -997 } });
    expect(specOf({ config }).process.oomScoreAdj).to.equal(0);
    expect(specOf({ config, minOomScoreAdj: -1000 }).process.oomScoreAdj).to.equal(-997);
  });

  it('combines commands and arguments as Kubernetes does', () => {
    const args = (command: string[], own: string[]): string[] =>
      processArgs(containerConfig({ command, args: own }), IMAGE);
    expect(args([], [])).to.deep.equal(['/entry', 'image', 'args']);
    expect(args([], ['own'])).to.deep.equal(['/entry', 'own']);
    expect(args(['/command'], [])).to.deep.equal(['/command']);
    expect(args(['/command'], ['own'])).to.deep.equal(['/command', 'own']);
    const bare = { ...IMAGE, entrypoint: [], cmd: [] };
    expect(() => processArgs(containerConfig(), bare)).to.throw(RuntimeError);
  });

  it('puts the environment of the container over that of the image', () => {
    const env = [
      { name: 'FROM_IMAGE', value: '2' },
      { name: 'OWN', value: 'a=b' },
    ];
    const spec = specOf({ config: containerConfig({ env }) });
    expect(spec.process.env).to.have.members([
      'PATH=/image/bin',
      'HOSTNAME=web',
      'FROM_IMAGE=2',
      'OWN=a=b',
    ]);
    expect(spec.process.cwd).to.equal('/work');
  });

  it('mounts outer paths before inner ones, and its own instead of the pod’s', () => {
    const mount = (containerPath: string, hostPath: string) => ({
      containerPath,
      hostPath,
      isReadOnly: false,
      propagation: 'bidirectional' as const,
    });
    const spec = specOf({
      config: containerConfig({
        mounts: [mount('/a/b', '/1'), mount('/a', '/2'), mount('/etc/hosts', '/3')],
      }),
      sandboxMounts: [mount('/etc/hosts', '/pod')],
    });
    const binds = spec.mounts.filter(({ source }) => /^\/(\d|pod)$/.test(source));
    expect(binds.map(({ source }) => source)).to.deep.equal(['/2', '/1', '/3']);
    expect(binds[0]?.options).to.deep.equal(['rbind', 'rshared', 'rw']);
    expect(spec.linux.rootfsPropagation).to.equal('rshared');
  });

  it('joins the namespaces of the pod, and has others of its own', () => {
    const types = specOf().linux.namespaces.map(({ type, path = '' }) => `${type}${path}`);
    expect(types.sort()).to.deep.equal(['cgroup', 'mount', 'network/ns/net', 'pid']);
    const shared = specOf({ pidMode: 'node' }).linux.namespaces.map(({ type }) => type);
    expect(shared).to.not.include('pid');
  });

  it('hides nothing from privileged containers', () => {
    const { security } = containerConfig();
    const config = containerConfig({ security: { ...security, isPrivileged: true } });
    expect(specOf({ config }).linux.maskedPaths).to.deep.equal([]);
    expect(specOf().linux.maskedPaths).to.include('/proc/kcore');
  });
});

describe('the user of a container', () => {
  let root = '';
  const { security } = containerConfig();

  before(() => {
    root = mkdtempSync(join(tmpdir(), 'mainstay-user-'));
    mkdirSync(join(root, 'real'));
    writeFileSync(join(root, 'real/passwd'), 'root:x:0:0::/:\nweb:x:33:44::/:\n');
    writeFileSync(join(root, 'real/group'), 'root:x:0:\nweb:x:44:\nextra:x:55:web,other\n');
    // Absolute: it must lead to the image's file and not to the node's.
    symlinkSync('/real', join(root, 'etc'));
  });
  after(() => rmSync(root, { recursive: true, force: true }));

  const cases: [string, object, [number, number, number[]]][] = [
    ['', {}, [0, 0, []]],
    ['web', {}, [33, 44, [55]]],
    ['33', {}, [33, 44, [55]]],
    ['web:extra', {}, [33, 55, []]],
    ['77:88', {}, [77, 88, []]],
    ['77', {}, [77, 0, []]],
    ['web', { runAsUser: 0 }, [0, 0, []]],
    ['web', { runAsUser: 33, runAsGroup: 7, supplementalGroups: [8, 7] }, [33, 7, [55, 8]]],
  ];
  for (const [user, change, [uid, gid, additionalGids]] of cases) {
    it(`is found for "${user}" and ${JSON.stringify(change)}`, () => {
      const found = resolveUser(root, user, { ...security, ...change });
      expect(found).to.deep.equal({ uid, gid, additionalGids });
    });
  }

  for (const user of ['nobody-here', 'web:nogroup', '99999999999']) {
    it(`is refused for "${user}"`, () => {
      expect(() => resolveUser(root, user, security)).to.throw(RuntimeError);
    });
  }
});
