/** The kernel's table after any changes is the one that is built at once from what is wanted. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { rulesOf } from '../../../src/cluster/proxy/nftables/ruleset.js';
import { NftTable } from '../../../src/cluster/proxy/nftables/table.js';
import type { PortEntry } from '../../../src/cluster/proxy/service-table.js';
import { systemClusterEnv } from '../../../src/cluster/system-env.js';
import { skipWithout } from '../../support/servers.js';
import { hasNetworkTools, programIn, run } from './support/network.js';

const RUNS = 25;
const OWNERS = ['a', 'b', 'c', 'd'];

type Wanted = ReadonlyMap<string, readonly PortEntry[]>;

const target = fc.record({
  ip: fc.constantFrom('10.244.1.2', '10.244.1.3', '10.244.2.2'),
  port: fc.constantFrom(80, 81),
});
const targets = fc.uniqueArray(target, {
  maxLength: 3,
  selector: ({ ip, port }) => `${ip}:${port}`,
});

/** Owners quarrel about few addresses and ports. */
function entryOf(owner: string): fc.Arbitrary<PortEntry> {
  return fc.record({
    id: fc.constantFrom(`${owner}/tcp/`, `${owner}/tcp/x`),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    clusterIp: fc.constantFrom('', '10.96.0.1', '10.96.0.2'),
    port: fc.constantFrom(80, 443),
    nodePort: fc.constantFrom(0, 30_080, 30_081),
    externalIps: fc.subarray(['192.0.2.1', '192.0.2.2']),
    all: targets,
    local: targets,
    isInternalLocal: fc.boolean(),
    isExternalLocal: fc.boolean(),
    affinitySeconds: fc.constantFrom(0, 0, 60, 90),
  });
}

/** Some owners, in any order. */
const change: fc.Arbitrary<Wanted> = fc
  .shuffledSubarray(OWNERS, { minLength: 1 })
  .chain((owners) =>
    fc.tuple(
      ...owners.map((owner) =>
        fc.tuple(
          fc.constant(owner),
          fc.uniqueArray(entryOf(owner), { maxLength: 2, selector: ({ id }) => id }),
        ),
      ),
    ),
  )
  .map((parts) => new Map(parts));

describe('cluster/proxy/nftables/table (property)', function () {
  this.timeout(120_000);
  const namespace = `mainstay-test-${randomBytes(3).toString('hex')}-table`;
  const dir = mkdtempSync(join(tmpdir(), 'mainstay-test-table-'));
  const nft = programIn(dir, namespace, 'nft');

  before(function () {
    if (!hasNetworkTools(['nft'])) skipWithout(this, 'root, nft, ip and nsenter');
    run('ip', ['netns', 'add', namespace]);
  });

  after(() => {
    if (hasNetworkTools(['nft'])) run('ip', ['netns', 'delete', namespace]);
    rmSync(dir, { recursive: true, force: true });
  });

  async function apply(table: NftTable, next: Wanted): Promise<void> {
    const changes = [...next].map(
      ([owner, entries]) => [owner, entries.length === 0 ? undefined : rulesOf(entries)] as const,
    );
    await table.apply(new Map(changes));
  }

  /** Chains with their rules in order, sets and maps with their elements, whatever their order. */
  function listed(name: string): unknown {
    const { nftables } = JSON.parse(run(nft, ['-j', 'list', 'table', 'ip', name])) as {
      nftables: Record<string, Record<string, unknown>>[];
    };
    const found = new Map<string, unknown[]>();
    for (const item of nftables) {
      for (const [kind, { handle: _, table: __, elem = [], expr, ...rest }] of Object.entries(
        item,
      )) {
        if (kind === 'metainfo' || kind === 'table') continue;
        const place = String(kind === 'rule' ? rest['chain'] : rest['name']);
        const parts = found.get(place) ?? [];
        found.set(place, parts);
        const elements = (elem as unknown[]).map((one) => JSON.stringify(one)).sort();
        parts.push(kind === 'rule' ? expr : { kind, ...rest, elements });
      }
    }
    return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  it('gets there from any state', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 2, maxLength: 5 }), async (steps) => {
        const wanted = new Map<string, readonly PortEntry[]>();
        for (const step of steps) step.forEach((entries, owner) => wanted.set(owner, entries));
        const changed = new NftTable(systemClusterEnv(), 'changed', nft);
        for (const step of steps) await apply(changed, step);
        const fresh = new NftTable(systemClusterEnv(), 'fresh', nft);
        await apply(fresh, wanted);
        expect(listed('changed')).to.deep.equal(listed('fresh'));
      }),
      { numRuns: RUNS },
    );
  });
});
