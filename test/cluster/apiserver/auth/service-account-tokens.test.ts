import { expect } from 'chai';
import { createHmac, sign } from 'node:crypto';
import type { TokenSubject } from '../../../../src/cluster/apiserver/auth/service-account-tokens.js';
import { ISSUER, privateKey, TokenFixture } from './token-fixture.js';

function parts(token: string): [Record<string, unknown>, Record<string, unknown>] {
  const [head = '', body = ''] = token.split('.');
  const parse = (text: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
  return [parse(head), parse(body)];
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

for (const type of ['rsa', 'ec'] as const)
  describe(`cluster/apiserver/auth/service-account-tokens (${type})`, () => {
    const key = privateKey(type);
    let fixture: TokenFixture;
    let subject: TokenSubject;

    beforeEach(() => {
      fixture = new TokenFixture(key);
      const serviceAccount = fixture.add('serviceaccounts/d/builder');
      const pod = fixture.add('pods/d/p');
      const node = fixture.add('nodes/n');
      subject = { namespace: 'd', serviceAccount, pod, node };
    });

    function issue(of = subject, audiences = [ISSUER], seconds = 3600): string {
      return fixture.tokens.issue(of, audiences, seconds).token;
    }

    it('names the account, what it is bound to and its time', () => {
      const { token, expiresAtMs } = fixture.tokens.issue(subject, ['a', 'b'], 600);
      const now = fixture.nowMs / 1000;
      expect(expiresAtMs).to.equal(fixture.nowMs + 600_000);
      const [head, { jti, ...claims }] = parts(token);
      expect(head['alg']).to.equal(type === 'rsa' ? 'RS256' : 'ES256');
      expect(jti).to.match(/^[0-9a-f]{8}-/);
      expect(claims).to.deep.equal({
        aud: ['a', 'b'],
        exp: now + 600,
        iat: now,
        nbf: now,
        iss: ISSUER,
        sub: 'system:serviceaccount:d:builder',
        'kubernetes.io': {
          namespace: 'd',
          serviceaccount: subject.serviceAccount,
          pod: subject.pod,
          node: subject.node,
        },
      });
    });

    it('is the account, its groups and what it is bound to', async () => {
      const token = issue();
      const [, { jti }] = parts(token);
      expect(await fixture.tokens.authenticate(token)).to.deep.equal({
        name: 'system:serviceaccount:d:builder',
        uid: 'uid-of-serviceaccounts/d/builder',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:d', 'system:authenticated'],
        extra: {
          'authentication.kubernetes.io/credential-id': [`JTI=${String(jti)}`],
          'authentication.kubernetes.io/node-name': ['n'],
          'authentication.kubernetes.io/node-uid': ['uid-of-nodes/n'],
          'authentication.kubernetes.io/pod-name': ['p'],
          'authentication.kubernetes.io/pod-uid': ['uid-of-pods/d/p'],
        },
      });
    });

    it('is good for its time and its audience only', async () => {
      const token = issue(subject, [ISSUER], 600);
      fixture.nowMs += 599_000;
      expect(await fixture.tokens.authenticate(token)).not.to.equal(undefined);
      fixture.nowMs += 1000;
      expect(await fixture.tokens.authenticate(token)).to.equal(undefined);
      const early = issue();
      fixture.nowMs -= 1000;
      expect(await fixture.tokens.authenticate(early)).to.equal(undefined);
      fixture.nowMs += 1000;
      expect(await fixture.tokens.authenticate(issue(subject, ['vault']))).to.equal(undefined);
      expect(await fixture.tokens.authenticate(issue(subject, ['vault', ISSUER]))).to.be.an(
        'object',
      );
    });

    it('dies with the account and with the pod, also when another of the name comes', async () => {
      const token = issue();
      const good = async (): Promise<boolean> =>
        (await fixture.tokens.authenticate(token)) !== undefined;
      for (const path of ['serviceaccounts/d/builder', 'pods/d/p']) {
        expect(await good(), path).to.equal(true);
        const object = fixture.objects.get(path);
        if (object === undefined) throw new Error('no object');
        fixture.objects.delete(path);
        expect(await good(), path).to.equal(false);
        fixture.objects.set(path, { ...object, metadata: { ...object.metadata, uid: 'other' } });
        expect(await good(), path).to.equal(false);
        const deletionTimestamp = new Date(fixture.nowMs).toISOString();
        fixture.objects.set(path, {
          ...object,
          metadata: { ...object.metadata, deletionTimestamp },
        });
        expect(await good(), path).to.equal(true);
        fixture.nowMs += 61_000;
        expect(await good(), path).to.equal(false);
        fixture.objects.set(path, object);
      }
      fixture.objects.delete('nodes/n');
      expect(await good()).to.equal(true);
    });

    it('dies with its node when it is bound to that alone', async () => {
      const { pod: _, ...ofNode } = subject;
      const token = issue(ofNode);
      expect(await fixture.tokens.authenticate(token)).to.be.an('object');
      fixture.objects.delete('nodes/n');
      expect(await fixture.tokens.authenticate(token)).to.equal(undefined);
    });

    it('is refused when somebody changed or made it', async () => {
      const token = issue();
      const [head = '', body = '', signature = ''] = token.split('.');
      const [header, claims] = parts(token);
      const other = new TokenFixture(privateKey(type)).tokens.issue(subject, [ISSUER], 3600).token;
      const publicPem = JSON.stringify(fixture.tokens.jwks());
      const hmacHead = encode({ ...header, alg: 'HS256' });
      const hmac = createHmac('sha256', publicPem)
        .update(`${hmacHead}.${body}`)
        .digest('base64url');
      // Signed by the right key, but it names another algorithm.
      const otherHead = encode({ ...header, alg: type === 'rsa' ? 'ES256' : 'RS256' });
      const options = { key, dsaEncoding: 'ieee-p1363' } as const;
      const resigned = sign('sha256', Buffer.from(`${otherHead}.${body}`), options);
      const forged = [
        `${otherHead}.${body}.${resigned.toString('base64url')}`,
        '',
        'garbage',
        'a.b.c',
        `${head}.${body}`,
        `${head}.${body}.`,
        `${token}.x`,
        `${head}.${encode({ ...claims, sub: 'system:serviceaccount:kube-system:admin' })}.${signature}`,
        `${encode({ ...header, alg: 'none' })}.${body}.`,
        `${hmacHead}.${body}.${hmac}`,
        other,
      ];
      for (const text of forged)
        expect(await fixture.tokens.authenticate(text), text).to.equal(undefined);
      expect(await fixture.tokens.authenticate(token)).to.be.an('object');
    });

    it('may be verified by an old key beside a new one', async () => {
      const token = issue();
      const next = new TokenFixture(privateKey('ec'), [key]);
      for (const [path, object] of fixture.objects) next.objects.set(path, object);
      expect(await next.tokens.authenticate(token)).to.be.an('object');
      const { keys } = next.tokens.jwks();
      expect(keys).to.have.length(2);
      expect(keys.map(({ kid }) => kid)).to.include(parts(token)[0]['kid']);
      for (const jwk of keys) expect(jwk).not.to.have.property('d');
    });
  });
