import { expect } from 'chai';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import { readKubeconfig } from '../../../src/cluster/client/kubeconfig.js';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const FILE = `
apiVersion: v1
kind: Config
current-context: one
clusters:
- name: local
  cluster:
    server: https://127.0.0.1:6443
    certificate-authority-data: ${base64('authority')}
- name: far
  cluster:
    server: https://api.example:443/prefix
    certificate-authority: ca.crt
    tls-server-name: api.internal
    disable-compression: true
- name: blind
  cluster: {server: "https://127.0.0.1:1", insecure-skip-tls-verify: true}
users:
- name: admin
  user:
    client-certificate-data: ${base64('certificate')}
    client-key-data: ${base64('key')}
- name: robot
  user: {token: secret, tokenFile: token}
- name: files
  user: {client-certificate: client.crt, client-key: client.key}
contexts:
- name: one
  context: {cluster: local, user: admin, namespace: work}
- name: two
  context: {cluster: far, user: robot}
- name: three
  context: {cluster: blind, user: files}
- name: nobody
  context: {cluster: local, user: ""}
`;

describe('kubeconfig', () => {
  let dir = '';
  let path = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'mainstay-kubeconfig-'));
    path = join(dir, 'config');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const refusal = async (text: string, context?: string): Promise<string> => {
    writeFileSync(path, text);
    try {
      await readKubeconfig(path, context);
    } catch (error) {
      if (error instanceof StartupError) return error.message;
      throw error;
    }
    return 'none';
  };

  it('gives cluster, user and namespace of the current context', async () => {
    writeFileSync(path, FILE);
    const access = await readKubeconfig(path);
    expect(access).to.deep.equal({
      server: 'https://127.0.0.1:6443',
      certificateAuthority: Buffer.from('authority'),
      insecureSkipTlsVerify: false,
      disableCompression: false,
      clientCertificate: { certificate: Buffer.from('certificate'), key: Buffer.from('key') },
      namespace: 'work',
    });
  });

  it('gives those of a named context, with files beside it', async () => {
    writeFileSync(path, FILE);
    for (const name of ['ca.crt', 'client.crt', 'client.key']) writeFileSync(join(dir, name), name);
    expect(await readKubeconfig(path, 'two')).to.deep.equal({
      server: 'https://api.example:443/prefix',
      certificateAuthority: Buffer.from('ca.crt'),
      insecureSkipTlsVerify: false,
      tlsServerName: 'api.internal',
      disableCompression: true,
      token: 'secret',
      tokenFile: join(dir, 'token'),
      namespace: 'default',
    });
    const three = await readKubeconfig(path, 'three');
    expect(three.insecureSkipTlsVerify).to.be.true;
    expect(three.clientCertificate?.key).to.deep.equal(Buffer.from('client.key'));
    expect(await readKubeconfig(path, 'nobody')).to.not.have.property('clientCertificate');
  });

  it('says what is wrong, and where', async () => {
    const replaced = (from: string, to: string): string => FILE.replace(from, to);
    const cases: [text: string, message: RegExp, context?: string][] = [
      ['', /it is empty, or not a mapping/],
      ['a: [', /is not YAML/],
      [replaced('current-context: one', ''), /it has no current-context/],
      [FILE, /contexts has no entry "four"/, 'four'],
      [
        replaced('cluster: local, user: admin', 'cluster: x, user: admin'),
        /clusters has no entry "x"/,
      ],
      [
        replaced('https://127.0.0.1:6443', 'http://127.0.0.1:6443'),
        /"local" has the server "http:.*not an https/,
      ],
      [replaced(base64('key'), '"!"'), /client-key-data of user "admin" is not base64/],
      [
        replaced(`client-key-data: ${base64('key')}`, ''),
        /needs both, client-certificate and client-key/,
      ],
      [
        replaced('{token: secret,', '{exec: {},'),
        /user "robot" uses "exec", which is not supported/,
        'two',
      ],
      [replaced('namespace: work', 'namespace: 7'), /namespace of context "one" is not a text/],
      [
        replaced('insecure-skip-tls-verify: true', 'insecure-skip-tls-verify: "yes"'),
        /is not true or false/,
        'three',
      ],
    ];
    expect(await refusal(FILE, 'two')).to.match(
      /certificate-authority of cluster "far" cannot be read/,
    );
    writeFileSync(join(dir, 'ca.crt'), 'ca');
    for (const [text, message, context] of cases) {
      expect(await refusal(text, context)).to.match(message);
    }
    const both = replaced(
      'server: https://127.0.0.1:6443',
      'server: https://a\n    insecure-skip-tls-verify: true',
    );
    expect(await refusal(both)).to.contain('cannot be combined with insecure-skip-tls-verify');
    rmSync(path);
    try {
      await readKubeconfig(path);
      expect.fail('it was read');
    } catch (error) {
      expect(String(error)).to.contain('cannot read the kubeconfig');
    }
  });
});
