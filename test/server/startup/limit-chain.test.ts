import { expect } from 'chai';
import { StartupError } from '../../../src/base/flags/startup-error.js';
import { checkLimitChain, receiveLimit } from '../../../src/server/startup/limit-chain.js';
import { MAX_ENTRY_BYTES } from '../../../src/wal/limits.js';

describe('chain of limits', () => {
  it('holds for every --max-request-bytes up to the longest entry of the log', () => {
    for (const maxRequestBytes of [1, 1_572_864, 209_715_200, MAX_ENTRY_BYTES]) {
      expect(() => checkLimitChain({ maxRequestBytes })).not.to.throw();
    }
  });

  it('refuses a flag beyond it, naming flag and bound', () => {
    expect(() => checkLimitChain({ maxRequestBytes: MAX_ENTRY_BYTES + 1 }))
      .to.throw(StartupError)
      .with.property('message')
      .that.includes(`--max-request-bytes (${MAX_ENTRY_BYTES + 1})`)
      .and.includes(`${MAX_ENTRY_BYTES} bytes`);
  });

  it('lets the transport pass requests that the service refuses with its own text', () => {
    expect(receiveLimit(1000)).to.be.greaterThan(1000);
  });
});
