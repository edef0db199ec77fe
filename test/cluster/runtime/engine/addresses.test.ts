import { expect } from 'chai';
import fc from 'fast-check';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Addresses, macOf } from '../../../../src/cluster/runtime/engine/network/addresses.js';
import { RuntimeError } from '../../../../src/cluster/runtime/runtime.js';

describe('addresses of pods', () => {
  let dir = '';
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'mainstay-addresses-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('gives each address of the range but the first two and the last', async () => {
    const addresses = new Addresses(dir, '10.9.8.13/29');
    const taken: string[] = [];
    for (let i = 0; i < 5; i++) taken.push(await addresses.take(`pod-${i}`));
    expect(taken).to.deep.equal(['10.9.8.10', '10.9.8.11', '10.9.8.12', '10.9.8.13', '10.9.8.14']);
    const error: unknown = await addresses.take('more').catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(RuntimeError);
    await addresses.release('10.9.8.12', 'another');
    await addresses.release('10.9.8.11', 'pod-1');
    expect(await addresses.take('more')).to.equal('10.9.8.11');
  });

  it('uses a freed address last', async () => {
    const addresses = new Addresses(dir, '10.9.8.0/24');
    await addresses.release(await addresses.take('a'), 'a');
    expect(await addresses.take('b')).to.equal('10.9.8.3');
  });

  it('frees what a crash left, files without an owner too', async () => {
    const addresses = new Addresses(dir, '10.9.8.0/29');
    for (const owner of ['a', 'b']) await addresses.take(owner);
    writeFileSync(join(dir, '10.9.8.4'), '');
    const after = new Addresses(dir, '10.9.8.0/29');
    await after.keepOnly((owner) => owner === 'b');
    expect([await after.take('c'), await after.take('d')]).to.deep.equal(['10.9.8.2', '10.9.8.4']);
  });

  for (const cidr of [
    '10.0.0.0/30x',
    '10.0.0/24',
    '300.0.0.0/8',
    '10.0.0.0/33',
    'fd00::/64',
    '10.0.0.0/31',
  ]) {
    it(`refuses the range ${cidr}`, () => {
      expect(() => new Addresses(dir, cidr)).to.throw(RuntimeError);
    });
  }

  it('never gives one address twice, whatever ends and starts again', async () => {
    const action = fc.oneof(
      fc.constant('take' as const),
      fc.constant('restart' as const),
      fc.nat(20).map((index) => ({ release: index })),
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const folder = join(dir, String(run++));
        let addresses = new Addresses(folder, '10.1.0.0/28');
        const model = new Map<string, string>();
        let count = 0;
        for (const step of actions) {
          if (step === 'restart') addresses = new Addresses(folder, '10.1.0.0/28');
          else if (step === 'take') {
            const owner = `pod-${count++}`;
            const got = await addresses.take(owner).catch(() => undefined);
            expect(got === undefined).to.equal(model.size === 13);
            if (got === undefined) continue;
            expect(model.has(got)).to.equal(false);
            model.set(got, owner);
          } else {
            const [address, owner] = [...model][step.release] ?? [];
            if (address === undefined || owner === undefined) continue;
            await addresses.release(address, owner);
            model.delete(address);
          }
        }
      }),
      { numRuns: 50 },
    );
  });

  it('makes a hardware address of an address', () => {
    expect(macOf('10.244.1.2')).to.equal('0a:58:0a:f4:01:02');
  });
});
