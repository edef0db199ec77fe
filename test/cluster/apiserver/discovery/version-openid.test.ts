import { expect } from 'chai';
import { openidStep } from '../../../../src/cluster/apiserver/discovery/openid.js';
import { versionStep } from '../../../../src/cluster/apiserver/discovery/version.js';
import { privateKey, TokenFixture } from '../auth/token-fixture.js';
import { exchangeOf, run, type Asked } from '../exchange.js';
import { recorded } from '../recording.js';

describe('cluster/apiserver/discovery: version and keys', () => {
  const version = versionStep('0.3.0');
  const { tokens } = new TokenFixture(privateKey('rsa'));
  const openid = openidStep(tokens, '<ADVERTISE>');

  async function json(step: typeof version, asked: Asked): Promise<[number, unknown]> {
    const { code, body } = await run(step, exchangeOf(asked));
    return [code, code === 200 ? JSON.parse(String(body)) : body];
  }

  it('says which release it stands for, in all fields', async () => {
    const real = recorded('discovery/roots').find(({ request }) => request.path === '/version');
    const [code, body] = await json(version, { path: '/version' });
    expect(code).to.equal(200);
    const answer = await run(version, exchangeOf({ path: '/version' }));
    expect(String(answer.body)).to.match(/^{\n  "major": "1",\n/);
    const numbers = ['major', 'minor', 'emulationMajor', 'minCompatibilityMinor'];
    const shown = body as Record<string, string>;
    const expected = real?.response.body as Record<string, string>;
    expect(Object.keys(shown)).to.deep.equal(Object.keys(expected));
    for (const name of numbers) expect(shown[name]).to.equal(expected[name]);
    expect(shown['gitVersion']).to.equal(`${expected['gitVersion']}+mainstay-0.3.0`);
  });

  it('is JSON or nothing, as recorded', async () => {
    let count = 0;
    for (const { request, response } of recorded('discovery/accept')) {
      if (request.path !== '/version') continue;
      const { method, path, headers = {} } = request;
      const [code, body] = await json(version, { method, path, headers });
      expect(code, JSON.stringify(headers)).to.equal(response.status);
      if (code === 406 && typeof response.body === 'object')
        expect(body).to.deep.equal(response.body);
      count++;
    }
    expect(count).to.be.greaterThan(5);
    expect((await json(version, { path: '/version', method: 'POST' }))[0]).to.equal(405);
  });

  it('publishes issuer and keys of service-account tokens', async () => {
    const find = (path: string) =>
      recorded('discovery/roots').find(({ request }) => request.path === path)?.response;
    const configuration = '/.well-known/openid-configuration';
    expect(await json(openid, { path: configuration })).to.deep.equal([
      200,
      find(configuration)?.body,
    ]);
    const path = '/openid/v1/jwks';
    const headers = { accept: 'application/json' };
    expect(await json(openid, { path, headers })).to.deep.equal([406, find(path)?.body]);
    const [code, body] = await json(openid, { path, headers: { accept: '*/*' } });
    expect([code, body]).to.deep.equal([200, tokens.jwks()]);
  });
});
