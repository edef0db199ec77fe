import { expect } from 'chai';
import { fixedAuthorizer } from '../../../../src/cluster/apiserver/auth/authorizer.js';
import { reviewsStep } from '../../../../src/cluster/apiserver/auth/reviews.js';
import { exchangeOf, run, userOf, type Asked, type Outcome } from '../exchange.js';
import { ISSUER, privateKey, TokenFixture } from './token-fixture.js';

describe('cluster/apiserver/auth/reviews', () => {
  const fixture = new TokenFixture(privateKey('ec'));
  const step = reviewsStep({
    env: fixture.env,
    authorize: fixedAuthorizer({ pod: () => undefined, podsOn: () => [] }),
    tokens: fixture.tokens,
  });
  const admin = userOf('admin', 'system:masters');
  const alice = userOf('alice');

  function ask(resource: string, spec: object, asked: Partial<Asked> = {}): Promise<Outcome> {
    const path = `/apis/${resource}`;
    return run(step, exchangeOf({ method: 'POST', path, user: admin, body: { spec }, ...asked }));
  }

  it('says who asks', async () => {
    const extra = { k: ['v'] };
    const user = { name: 'alice', uid: 'u', groups: ['devs'], extra };
    const { code, body } = await ask('authentication.k8s.io/v1/selfsubjectreviews', {}, { user });
    expect([code, body]).to.deep.equal([
      201,
      {
        kind: 'SelfSubjectReview',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: { creationTimestamp: '2026-01-01T00:00:00Z' },
        status: { userInfo: { username: 'alice', uid: 'u', groups: ['devs'], extra } },
      },
    ]);
  });

  it('says whether the user may, and another', async () => {
    const resourceAttributes = { namespace: 'd', verb: 'get', resource: 'pods' };
    const own = 'authorization.k8s.io/v1/selfsubjectaccessreviews';
    const others = 'authorization.k8s.io/v1/subjectaccessreviews';
    const status = async (outcome: Promise<Outcome>): Promise<unknown> =>
      ((await outcome).body as { status: unknown }).status;
    expect(await status(ask(own, { resourceAttributes }))).to.deep.equal({ allowed: true });
    expect(await status(ask(own, { resourceAttributes }, { user: alice }))).to.deep.equal({
      allowed: false,
    });
    const nonResourceAttributes = { path: '/version', verb: 'get' };
    const groups = ['system:authenticated'];
    expect(await status(ask(others, { user: 'x', groups, nonResourceAttributes }))).to.deep.equal({
      allowed: true,
    });
    expect(await status(ask(others, { user: 'x', nonResourceAttributes }))).to.deep.equal({
      allowed: false,
    });
    const node = { user: 'system:node:a', groups: ['system:nodes'] };
    const pods = { verb: 'list', resource: 'pods' };
    expect(await status(ask(others, { ...node, resourceAttributes: pods }))).to.deep.equal({
      allowed: false,
      reason: 'can only list/watch pods with spec.nodeName field selector',
    });
    const fieldSelector = { rawSelector: 'spec.nodeName=a' };
    const selected = { ...node, resourceAttributes: { ...pods, fieldSelector } };
    expect(await status(ask(others, selected))).to.deep.equal({ allowed: true });
  });

  it('refuses questions that ask nothing, too much, or of nobody', async () => {
    const message = async (outcome: Promise<Outcome>): Promise<string> => {
      const { code, body } = await outcome;
      return `${code} ${(body as { message: string }).message}`;
    };
    const others = 'authorization.k8s.io/v1/subjectaccessreviews';
    const head = '422 .authorization.k8s.io "" is invalid: ';
    expect(await message(ask('authorization.k8s.io/v1/selfsubjectaccessreviews', {}))).to.equal(
      `${head}spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified`,
    );
    expect(await message(ask(others, {}))).to.equal(
      `${head}[spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]`,
    );
    const both = {
      user: 'a',
      resourceAttributes: { verb: 'get', resource: 'pods' },
      nonResourceAttributes: { path: '/x', verb: 'get' },
    };
    expect(await message(ask(others, both))).to.equal(
      `${head}spec.nonResourceAttributes: Invalid value: {"Path":"/x","Verb":"get"}: cannot be specified in combination with resourceAttributes`,
    );
    const local = 'authorization.k8s.io/v1/namespaces/d/localsubjectaccessreviews';
    const elsewhere = { namespace: 'other', verb: 'get', resource: 'pods' };
    expect(await message(ask(local, { user: 'a', resourceAttributes: elsewhere }))).to.equal(
      `${head}spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace`,
    );
    expect(await message(ask('authorization.k8s.io/v1/selfsubjectrulesreviews', {}))).to.equal(
      '400 no namespace on request',
    );
  });

  it('lists the rules that hold', async () => {
    const { body } = await ask(
      'authorization.k8s.io/v1/selfsubjectrulesreviews',
      { namespace: 'd' },
      { user: userOf('system:kube-scheduler') },
    );
    const { status } = body as {
      status: { resourceRules: { resources: string[] }[]; incomplete: boolean };
    };
    const resources = status.resourceRules.flatMap((rule) => rule.resources);
    expect(resources).to.include.members(['pods/binding', 'selfsubjectreviews']);
    expect(resources).not.to.include('leases');
    expect(status.incomplete).to.equal(false);
  });

  it('says whose a token is', async () => {
    const serviceAccount = fixture.add('serviceaccounts/d/builder');
    const subject = { namespace: 'd', serviceAccount };
    const { token } = fixture.tokens.issue(subject, [ISSUER], 600);
    const path = 'authentication.k8s.io/v1/tokenreviews';
    const good = (await ask(path, { token })).body as { status: { user: { username: string } } };
    expect(good.status).to.include({ authenticated: true });
    expect(good.status.user.username).to.equal('system:serviceaccount:d:builder');
    const bad = (await ask(path, { token: 'x' })).body as { status: object };
    expect(bad.status).not.to.have.property('authenticated');
    const elsewhere = (await ask(path, { token, audiences: ['vault'] })).body;
    expect(elsewhere).not.to.have.nested.property('status.authenticated');
  });

  it('is created, and nothing else', async () => {
    const path = 'authorization.k8s.io/v1/subjectaccessreviews';
    expect((await ask(path, {}, { method: 'GET' })).code).to.equal(405);
    expect((await ask(`${path}/x`, {}, { method: 'DELETE' })).code).to.equal(405);
    expect((await ask('apps/v1/deployments', {})).code).to.equal(0);
  });
});
