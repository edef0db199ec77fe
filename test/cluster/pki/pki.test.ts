import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { createSign, createVerify, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensurePki, type Pki, type PkiOptions } from '../../../src/cluster/pki/pki.js';
import { writeKubeconfig } from '../../../src/cluster/pki/kubeconfig-file.js';
import { readKubeconfig } from '../../../src/cluster/client/kubeconfig.js';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import type { ClusterEnv } from '../../../src/cluster/env.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';

const DAY_MS = 24 * 3600 * 1000;

/** The machine's clock, moved. */
function envAt(offsetMs: number): ClusterEnv {
  const env = systemClusterEnv();
  return { ...env, wallMs: () => env.wallMs() + offsetMs };
}

const OPTIONS: PkiOptions = {
  env: envAt(0),
  names: ['api.example'],
  ips: ['10.96.0.1', 'fd00::1'],
  nodes: [
    { name: 'n1', ips: ['10.0.0.1'] },
    { name: 'n2', ips: [] },
  ],
};

function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof StartupError) return error.message;
    throw error;
  }
  return 'none';
}

describe('pki', () => {
  let parent = '';
  let dir = '';
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'mainstay-pki-'));
    dir = join(parent, 'pki');
  });
  afterEach(() => rmSync(parent, { recursive: true }));

  const contents = (): Record<string, string> =>
    Object.fromEntries(
      readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'utf8')]),
    );

  it('makes certificates that openssl accepts for their purpose, and for no other', async () => {
    const pki = await ensurePki(dir, OPTIONS);
    const verify = (purpose: string, path: string): string => {
      try {
        return openssl(
          'verify',
          '-x509_strict',
          '-purpose',
          purpose,
          '-CAfile',
          join(dir, 'ca.crt'),
          path,
        ).trim();
      } catch {
        return 'refused';
      }
    };
    const servers = [pki.apiServer, pki.nodes.get('n1')?.server, pki.nodes.get('n2')?.server];
    const { admin, apiServerKubeletClient, controllerManager, scheduler, proxy } = pki;
    const clients = [
      admin,
      apiServerKubeletClient,
      controllerManager,
      scheduler,
      proxy,
      pki.nodes.get('n1')?.client,
    ];
    for (const { certificatePath: path = '' } of servers.map((one) => one ?? admin)) {
      expect(verify('sslserver', path)).to.equal(`${path}: OK`);
      expect(verify('sslclient', path)).to.equal('refused');
    }
    for (const { certificatePath: path = '' } of clients.map((one) => one ?? pki.apiServer)) {
      expect(verify('sslclient', path)).to.equal(`${path}: OK`);
      expect(verify('sslserver', path)).to.equal('refused');
    }
  });

  it('names users, groups and servers as Kubernetes does', async () => {
    const pki = await ensurePki(dir, OPTIONS);
    const subject = (path: string): string =>
      openssl('x509', '-in', path, '-noout', '-subject', '-nameopt', 'RFC2253').trim();
    expect(subject(pki.admin.certificatePath)).to.equal(
      'subject=CN=kubernetes-admin,O=system:masters',
    );
    expect(subject(pki.nodes.get('n1')?.client.certificatePath ?? '')).to.equal(
      'subject=CN=system:node:n1,O=system:nodes',
    );
    expect(subject(pki.scheduler.certificatePath)).to.equal('subject=CN=system:kube-scheduler');
    const server = new X509Certificate(pki.apiServer.certificate);
    expect((server.subjectAltName ?? '').split(', ')).to.have.members([
      'DNS:kubernetes',
      'DNS:kubernetes.default',
      'DNS:kubernetes.default.svc',
      'DNS:kubernetes.default.svc.cluster.local',
      'DNS:localhost',
      'DNS:api.example',
      'IP Address:127.0.0.1',
      'IP Address:10.96.0.1',
      'IP Address:FD00:0:0:0:0:0:0:1',
    ]);
    const kubelet = new X509Certificate(pki.nodes.get('n1')?.server.certificate ?? '');
    expect(kubelet.subjectAltName).to.equal('DNS:n1, IP Address:10.0.0.1');
  });

  it('is readable by its owner alone, and has a key for tokens', async () => {
    const { serviceAccount } = await ensurePki(dir, OPTIONS);
    expect(statSync(dir).mode & 0o777).to.equal(0o700);
    for (const name of readdirSync(dir)) {
      expect(statSync(join(dir, name)).mode & 0o777, name).to.equal(0o600);
    }
    const signature = createSign('SHA256').update('token').sign(serviceAccount.privateKey);
    const { publicKey } = serviceAccount;
    expect(createVerify('SHA256').update('token').verify(publicKey, signature)).to.be.true;
  });

  it('keeps everything at the next start', async () => {
    await ensurePki(dir, OPTIONS);
    const before = contents();
    await ensurePki(dir, { ...OPTIONS, env: envAt(200 * DAY_MS) });
    expect(contents()).to.deep.equal(before);
  });

  /** Names of the files whose content a start changed. */
  const changedBy = async (options: PkiOptions): Promise<string[]> => {
    const before = contents();
    await ensurePki(dir, options);
    const after = contents();
    return Object.keys(after).filter((name) => after[name] !== before[name]);
  };

  it('renews certificates, not the authority, when less than a third of their life is left', async () => {
    await ensurePki(dir, OPTIONS);
    const changed = await changedBy({ ...OPTIONS, env: envAt(250 * DAY_MS) });
    expect(changed).to.include.members(['apiserver.crt', 'apiserver.key', 'admin.crt']);
    expect(changed).to.not.include.members(['ca.crt', 'ca.key', 'sa.key', 'sa.pub']);
    expect(changed).length(2 * (1 + 5 + 4));
  });

  it('makes only those anew whose names changed or that are damaged', async () => {
    await ensurePki(dir, OPTIONS);
    expect(await changedBy({ ...OPTIONS, names: ['api.example', 'more.example'] })).to.deep.equal([
      'apiserver.crt',
      'apiserver.key',
    ]);
    expect(await changedBy({ ...OPTIONS, ips: [] })).to.deep.equal([]);
    writeFileSync(join(dir, 'admin.crt'), 'damaged');
    writeFileSync(join(dir, 'scheduler.key'), readFileSync(join(dir, 'kube-proxy.key')));
    // A valid pair, but another component's.
    for (const part of ['crt', 'key']) {
      const proxy = readFileSync(join(dir, `kube-proxy.${part}`));
      writeFileSync(join(dir, `controller-manager.${part}`), proxy);
    }
    expect(await changedBy(OPTIONS)).to.have.members([
      ...['admin.crt', 'admin.key', 'scheduler.crt', 'scheduler.key'],
      ...['controller-manager.crt', 'controller-manager.key'],
    ]);
    rmSync(join(dir, 'ca.crt'));
    expect(await changedBy(OPTIONS)).length(2 * 11);
  });

  it('uses an authority of the user, with an RSA key, or without a key while nothing is to be made', async () => {
    await ensurePki(dir, OPTIONS);
    const [ca, key] = [join(dir, 'ca.crt'), join(dir, 'ca.key')];
    const request = [
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '3650',
      '-subj',
      '/O=Example/CN=own',
    ];
    openssl(...request, '-keyout', key, '-out', ca);
    const pki: Pki = await ensurePki(dir, OPTIONS);
    expect(openssl('verify', '-CAfile', ca, pki.apiServer.certificatePath)).to.contain('OK');
    rmSync(key);
    expect(await changedBy(OPTIONS)).to.deep.equal([]);
    rmSync(join(dir, 'admin.crt'));
    expect(await refusal(ensurePki(dir, OPTIONS))).to.match(
      /certificate admin must be made, but .*ca.key/,
    );
  });

  it('refuses an authority that cannot be one', async () => {
    const pki = await ensurePki(dir, OPTIONS);
    const expired = ensurePki(dir, { ...OPTIONS, env: envAt(3651 * DAY_MS) });
    expect(await refusal(expired)).to.contain('has expired');
    const ca = join(dir, 'ca.crt');
    writeFileSync(ca, pki.admin.certificate);
    expect(await refusal(ensurePki(dir, OPTIONS))).to.contain("is not an authority's");
    writeFileSync(ca, 'nothing');
    expect(await refusal(ensurePki(dir, OPTIONS))).to.contain('holds no certificate');
    writeFileSync(ca, pki.authority.certificate);
    writeFileSync(join(dir, 'ca.key'), pki.admin.key);
    expect(await refusal(ensurePki(dir, OPTIONS))).to.contain('is not that of the certificate');
    writeFileSync(join(dir, 'ca.key'), pki.authority.key);
    writeFileSync(join(dir, 'sa.key'), 'nothing');
    expect(await refusal(ensurePki(dir, OPTIONS))).to.contain('holds no private key');
  });

  it('writes kubeconfigs that are read back, and that nobody else can read', async () => {
    const { authority, admin } = await ensurePki(dir, OPTIONS);
    const path = join(dir, 'admin.conf');
    await writeKubeconfig(path, {
      server: 'https://127.0.0.1:6443',
      certificateAuthority: authority.certificate,
      ...admin,
      clusterName: 'main: stay',
      userName: 'admin',
      disableCompression: true,
    });
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    const access = await readKubeconfig(path);
    expect(access.server).to.equal('https://127.0.0.1:6443');
    expect(access.disableCompression).to.be.true;
    expect(String(access.certificateAuthority)).to.equal(authority.certificate);
    expect(String(access.clientCertificate?.certificate)).to.equal(admin.certificate);
    expect(String(access.clientCertificate?.key)).to.equal(admin.key);
  });
});
