import { expect } from 'chai';
import { bootstrapCluster } from '../../../src/server/config/bootstrap.js';
import type { ResolveHost } from '../../../src/server/config/bootstrap.js';
import { parseServerConfig } from '../../../src/server/config/parse.js';
import type { ServerConfig } from '../../../src/server/config/server-config.js';
import {
  StartupError,
  dataDirFailure,
  formatStartupError,
  listenFailure,
} from '../../../src/base/flags/startup-error.js';
import { startupRefusal } from '../../support/startup-refusal.js';

function config(...argv: string[]): ServerConfig {
  const result = parseServerConfig(argv, {});
  if (result.kind === 'exit') throw new Error(result.stderr);
  return result.config;
}

const noDns: ResolveHost = () => Promise.reject(new Error('must not be asked'));

describe('bootstrapCluster', () => {
  it('gives every member the same cluster, for any order of the list', async () => {
    const a = config(
      '--name=a',
      '--initial-advertise-peer-urls=http://h:1',
      '--initial-cluster=a=http://h:1,b=http://h:2',
    );
    const b = config(
      '--name=b',
      '--initial-advertise-peer-urls=http://h:2',
      '--initial-cluster=b=http://h:2,a=http://h:1',
    );
    const [fromA, fromB] = [await bootstrapCluster(a, noDns), await bootstrapCluster(b, noDns)];
    expect(fromA.clusterId).equal(fromB.clusterId);
    expect(fromA.members).deep.equal(fromB.members);
    expect(fromA.memberId).not.equal(fromB.memberId);
    expect(fromA.members.map((member) => member.id)).contain(fromA.memberId);
    const ids = fromA.members.map((member) => member.id);
    expect([...ids].sort((x, y) => (x < y ? -1 : 1))).deep.equal(ids);
  });

  it('refuses a list without this member', async () => {
    const error = await startupRefusal(
      bootstrapCluster(config('--name=c', '--initial-cluster=a=http://h:1'), noDns),
    );
    expect(error.message).contain('couldn\'t find local name "c"');
    expect(error.nextStep).contain('(a)');
  });

  it('refuses a list that has other URLs for this member', async () => {
    const resolve: ResolveHost = (host) =>
      Promise.resolve([host === 'h' ? '10.0.0.1' : '10.0.0.2']);
    const error = await startupRefusal(
      bootstrapCluster(config('--name=a', '--initial-cluster=a=http://h:1'), resolve),
    );
    expect(error.message).contain('a=http://h:1');
    expect(error.message).contain('http://localhost:2380');
  });

  it('takes two names of one address for equal', async () => {
    const resolve: ResolveHost = () => Promise.resolve(['10.0.0.1']);
    const settings = config(
      '--name=a',
      '--initial-advertise-peer-urls=http://10.0.0.1:1',
      '--initial-cluster=a=http://host.example:1',
    );
    expect((await bootstrapCluster(settings, resolve)).members).have.length(1);
  });

  it('names the host that cannot be resolved', async () => {
    const settings = config('--name=a', '--initial-cluster=a=http://host.example:1');
    const resolve: ResolveHost = () => Promise.reject(new Error('ENOTFOUND'));
    const error = await startupRefusal(bootstrapCluster(settings, resolve));
    expect(error.message).contain('cannot be resolved');
  });

  it('refuses to join a running cluster', async () => {
    const error = await startupRefusal(
      bootstrapCluster(config('--name=a', '--initial-cluster-state=existing'), noDns),
    );
    expect(error.message).contain('not supported yet');
  });
});

describe('start-up errors', () => {
  const failure = (code: string): Error => Object.assign(new Error(code), { code });

  it('name cause and next step', () => {
    for (const code of ['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL', 'EOTHER']) {
      const error = listenFailure('http://127.0.0.1:1', 'listen-client-urls', failure(code));
      expect(error.message).contain('http://127.0.0.1:1');
      expect(error.nextStep).contain('--listen-client-urls');
    }
    for (const code of ['EACCES', 'EROFS', 'ENOTDIR', 'ENOSPC', 'EOTHER']) {
      const error = dataDirFailure('/data', failure(code));
      expect(error.message).contain('/data');
      expect(error.nextStep).contain('--data-dir');
    }
  });

  it('are printed in two parts, and others with their stack', () => {
    expect(formatStartupError(new StartupError('it rains', 'wait'))).equal(
      'mainstay: cannot start: it rains\n  next step: wait\n',
    );
    expect(formatStartupError(new TypeError('odd'))).contain('TypeError: odd\n    at ');
  });
});
