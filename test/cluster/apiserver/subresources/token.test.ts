import { expect } from 'chai';
import { serviceAccount } from '../../../../src/cluster/api/kinds/core/serviceaccount.js';
import { Admission } from '../../../../src/cluster/apiserver/admission/admission.js';
import type { Answer, Exchange } from '../../../../src/cluster/apiserver/pipeline/exchange.js';
import { tokenHandler } from '../../../../src/cluster/apiserver/subresources/token.js';
import { privateKey, TokenFixture } from '../auth/token-fixture.js';
import { exchangeOf, run, type Outcome } from '../exchange.js';
import { recorded } from '../recording.js';

describe('cluster/apiserver/subresources/token', () => {
  const fixture = new TokenFixture(privateKey('ec'));
  const handler = tokenHandler({
    env: fixture.env,
    tokens: fixture.tokens,
    objects: fixture.getters,
    admission: new Admission([]),
  });
  const step = (exchange: Exchange): Promise<Answer> => handler(exchange, serviceAccount);

  beforeEach(() => {
    fixture.objects.clear();
    fixture.add('serviceaccounts/rec-sub/default');
  });

  function ask(spec: object, body: object = {}): Promise<Outcome> {
    const path = '/api/v1/namespaces/rec-sub/serviceaccounts/default/token';
    return run(step, exchangeOf({ method: 'POST', path, body: { spec, ...body } }));
  }

  it('answers as recorded', async () => {
    for (const { request, response } of recorded('subresources/token')) {
      const { method, path, body: given } = request;
      const { code, body } = await run(step, exchangeOf({ method, path, body: given }));
      expect(code, JSON.stringify(given)).to.equal(response.status);
      if (code !== 201) {
        expect(body).to.deep.equal(response.body);
        continue;
      }
      const mask = (value: unknown): unknown => {
        const { metadata, status, ...rest } = value as {
          metadata: { name: string; namespace: string };
          status: object;
        };
        const { name, namespace } = metadata;
        return { ...rest, name, namespace, status: Object.keys(status) };
      };
      expect(mask(body)).to.deep.equal(mask(response.body));
    }
  });

  it('gives a token that is good for its time, bound to the pod and its node', async () => {
    fixture.add('pods/rec-sub/p', { serviceAccountName: 'default', nodeName: 'n' });
    fixture.add('nodes/n');
    const boundObjectRef = {
      kind: 'Pod',
      apiVersion: 'v1',
      name: 'p',
      uid: 'uid-of-pods/rec-sub/p',
    };
    const { code, body } = await ask({ boundObjectRef, expirationSeconds: 607 });
    expect(code).to.equal(201);
    const { status } = body as { status: { token: string; expirationTimestamp: string } };
    expect(status.expirationTimestamp).to.equal('2026-01-01T00:10:07Z');
    const user = await fixture.tokens.authenticate(status.token);
    expect(user?.name).to.equal('system:serviceaccount:rec-sub:default');
    expect(user?.extra['authentication.kubernetes.io/pod-name']).to.deep.equal(['p']);
    expect(user?.extra['authentication.kubernetes.io/node-name']).to.deep.equal(['n']);
    fixture.objects.delete('pods/rec-sub/p');
    expect(await fixture.tokens.authenticate(status.token)).to.equal(undefined);
  });

  it('binds to no object of another account or another life', async () => {
    fixture.add('pods/rec-sub/p', { serviceAccountName: 'other' });
    const ref = { kind: 'Pod', apiVersion: 'v1', name: 'p' };
    const other = await ask({ boundObjectRef: ref });
    expect(other.code).to.equal(400);
    expect(other.body).to.have.property(
      'message',
      'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.',
    );
    const old = await ask({ boundObjectRef: { ...ref, uid: 'old' } });
    expect(old.code).to.equal(409);
    fixture.add('secrets/rec-sub/s');
    fixture.add('nodes/n');
    for (const [kind, name] of [
      ['Secret', 's'],
      ['Node', 'n'],
    ])
      expect((await ask({ boundObjectRef: { kind, apiVersion: 'v1', name } })).code).to.equal(201);
  });

  it('refuses another name and another namespace', async () => {
    expect((await ask({}, { metadata: { name: 'x' } })).code).to.equal(400);
    expect((await ask({}, { metadata: { namespace: 'x' } })).code).to.equal(400);
  });
});
