import { expect } from 'chai';
import { authenticationStep } from '../../../../src/cluster/apiserver/auth/authenticate.js';
import { exchangeOf, run, type Asked } from '../exchange.js';
import { recorded } from '../recording.js';
import { ISSUER, privateKey, TokenFixture } from './token-fixture.js';

describe('cluster/apiserver/auth/authenticate', () => {
  const fixture = new TokenFixture(privateKey('ec'));
  const step = authenticationStep(fixture.tokens);

  async function who(asked: Asked): Promise<string> {
    const exchange = exchangeOf(asked);
    const { code, body } = await run(step, exchange);
    if (code !== 0) return `${code} ${(body as { message: string }).message}`;
    return [exchange.user.name, ...exchange.user.groups].join(' ');
  }

  const certificate = { commonName: 'alice', organizations: ['devs'], fingerprint: 'ab' };

  it('takes the subject of a certificate for the user', async () => {
    const path = '/api/v1/pods';
    expect(await who({ path, certificate })).to.equal('alice devs system:authenticated');
    const exchange = exchangeOf({ path, certificate });
    await run(step, exchange);
    expect(exchange.user.extra).to.deep.equal({
      'authentication.kubernetes.io/credential-id': ['X509SHA256=ab'],
    });
  });

  it('takes a token for its service account', async () => {
    const serviceAccount = fixture.add('serviceaccounts/d/builder');
    const subject = { namespace: 'd', serviceAccount };
    const { token } = fixture.tokens.issue(subject, [ISSUER], 600);
    const ask = (authorization: string): Promise<string> =>
      who({ path: '/api/v1/pods', headers: { authorization } });
    const name = 'system:serviceaccount:d:builder system:serviceaccounts';
    expect(await ask(`Bearer ${token}`)).to.match(new RegExp(`^${name}`));
    expect(await ask(`bearer  ${token}`)).to.match(new RegExp(`^${name}`));
    expect(await ask(`Basic ${token}`)).to.equal('401 Unauthorized');
  });

  it('refuses bad tokens with the recorded body, and those with nothing but for health', async () => {
    let count = 0;
    for (const { note = '', request, response } of recorded('auth/anonymous-and-bad')) {
      const isBad = note === 'wrong bearer token';
      const headers = isBad ? { Authorization: 'Bearer wrong' } : (request.headers ?? {});
      const { method, path } = request;
      const { code, body } = await run(step, exchangeOf({ method, path, headers }));
      if (isBad) expect([code, body]).to.deep.equal([response.status, response.body]);
      else if (response.status === 200) expect(code).to.equal(0);
      // Without anonymous access the real server answers so as well.
      else expect(code, request.path).to.equal(401);
      count++;
    }
    expect(count).to.equal(20);
    expect(await who({ path: '/healthz' })).to.equal('system:anonymous system:unauthenticated');
    expect(await who({ path: '/healthz', method: 'POST' })).to.equal('401 Unauthorized');
    expect(await who({ path: '/healthz/etcd' })).to.equal('401 Unauthorized');
  });

  it('never ignores the wish to be somebody else', async () => {
    const ask = (headers: Record<string, string>): Promise<string> =>
      who({ path: '/api/v1/pods', certificate, headers });
    const text =
      '403 users "bob" is forbidden: User "alice" cannot impersonate resource "users" in API group "" at the cluster scope';
    expect(await ask({ 'Impersonate-User': 'bob' })).to.equal(text);
    expect(await ask({ 'Impersonate-User': 'bob', 'Impersonate-Group': 'g' })).to.equal(text);
    for (const name of ['Impersonate-Group', 'Impersonate-Uid', 'Impersonate-Extra-Scopes'])
      expect(await ask({ [name]: 'x' })).to.match(/^400 .* without impersonating a user$/);
    const admin = { commonName: 'admin', organizations: ['system:masters'] };
    const asAdmin = { path: '/api', certificate: admin, headers: { 'Impersonate-User': 'bob' } };
    expect(await who(asAdmin)).to.match(/^403 /);
  });
});
