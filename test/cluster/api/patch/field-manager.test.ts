import { expect } from 'chai';
import { managerName } from '../../../../src/cluster/api/patch/field-manager.js';

describe('name of a field manager', () => {
  for (const [fieldManager, userAgent, expected] of [
    ['helm', 'kubectl/v1.36', 'helm'],
    ['', 'kubectl/v1.36 (linux/amd64)', 'kubectl'],
    ['', 'Go-http-client', 'Go-http-client'],
    ['', 'a\tb\u0000c d/1', 'abc d'],
    ['', '', ''],
    ['', 'x'.repeat(200), 'x'.repeat(128)],
    ['', `${'x'.repeat(127)}é!/1`, 'x'.repeat(127)],
  ] as const)
    it(`is ${JSON.stringify(expected)} for ${JSON.stringify([fieldManager, userAgent])}`, () => {
      expect(managerName(fieldManager, userAgent)).to.equal(expected);
    });
});
