import { expect } from 'chai';
import {
  formatReference,
  parseReference,
} from '../../../../src/cluster/runtime/images/reference.js';
import { RuntimeError } from '../../../../src/cluster/runtime/runtime.js';

const DIGEST = `sha256:${'a1'.repeat(32)}`;

const GOOD: [string, string][] = [
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['team/app', 'docker.io/team/app:latest'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['index.docker.io/library/busybox:1', 'docker.io/library/busybox:1'],
  ['localhost/app', 'localhost/app:latest'],
  ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
  ['registry.k8s.io/pause:3.10', 'registry.k8s.io/pause:3.10'],
  ['[::1]:5000/app', '[::1]:5000/app:latest'],
  ['a/b/c-d__e.f', 'docker.io/a/b/c-d__e.f:latest'],
  [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
  [`busybox:1@${DIGEST}`, 'docker.io/library/busybox:1'],
];

const BAD = [
  '',
  ':tag',
  'Busybox',
  'busy box',
  'busybox:',
  'busybox:-tag',
  `busybox:${'t'.repeat(129)}`,
  'busybox@',
  'busybox@sha256:abc',
  '/busybox',
  'busybox/',
  'a//b',
  'host:port/app',
  '-a',
  'a_-b',
  'x'.repeat(260),
];

describe('image references', () => {
  for (const [text, normal] of GOOD) {
    it(`reads ${text}`, () => expect(formatReference(parseReference(text))).to.equal(normal));
  }

  it('keeps the digest beside a tag', () => {
    expect(parseReference(`busybox:1@${DIGEST}`).digest).to.equal(DIGEST);
  });

  for (const text of BAD) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
      expect(() => parseReference(text))
        .to.throw(RuntimeError)
        .with.property('reason', 'InvalidImageName');
    });
  }
});
