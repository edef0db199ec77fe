import { expect } from 'chai';
import fc from 'fast-check';
import type { Endpoint, EndpointSlice } from '../../../../src/gen/kube-discovery-v1.js';
import { portsText, type TargetPort } from '../../../../src/cluster/controllers/endpoints/ports.js';
import {
  changesTo,
  portsOf,
  type Changes,
  type Group,
} from '../../../../src/cluster/controllers/endpoints/slices.js';

const MAX = 100;

interface Wanted {
  readonly pod: number;
  readonly port: number;
  readonly isReady: boolean;
}

const wanted: fc.Arbitrary<readonly Wanted[]> = fc.uniqueArray(
  fc.record({ pod: fc.nat(300), port: fc.nat(1), isReady: fc.boolean() }),
  { selector: ({ pod }) => pod, maxLength: 260, size: 'max' },
);

function groupsOf(all: readonly Wanted[]): Group[] {
  return [0, 1]
    .map((port) => ({ ports: portOf(port), of: all.filter((one) => one.port === port) }))
    .filter(({ of }) => of.length > 0)
    .map(({ ports, of }) => ({ ports, endpoints: of.map(endpointOf) }));
}

function portOf(port: number): TargetPort[] {
  return [{ name: '', protocol: 'TCP', port: 8000 + port, appProtocol: undefined }];
}

function endpointOf({ pod, isReady }: Wanted): Endpoint {
  return {
    addresses: [`10.0.${pod >> 8}.${pod & 255}`],
    conditions: { ready: isReady },
    targetRef: { kind: 'Pod', uid: String(pod) },
  };
}

/** Slices as they are after the changes. */
function applied(before: readonly EndpointSlice[], changes: Changes): EndpointSlice[] {
  const untouched = before.filter((slice) => changes.keep.includes(slice));
  const written = changes.write.map(({ slice, ports, endpoints }, index): EndpointSlice => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: slice?.metadata ?? { name: `new-${before.length}-${index}` },
    addressType: 'IPv4',
    endpoints: [...endpoints],
    ports: ports.map(({ name, protocol, port }) => ({ name, protocol, port })),
  }));
  return [...untouched, ...written];
}

function contentOf(slices: readonly EndpointSlice[]): string[] {
  return slices
    .flatMap((slice) =>
      (slice.endpoints ?? []).map((one) => `${portsText(portsOf(slice))} ${JSON.stringify(one)}`),
    )
    .sort();
}

describe('endpoint slices', () => {
  it('hold what is wanted after any series of changes, with no write that changes nothing', () => {
    fc.assert(
      fc.property(fc.array(wanted, { minLength: 1, maxLength: 6 }), (series) => {
        let slices: EndpointSlice[] = [];
        for (const all of series) {
          const groups = groupsOf(all);
          const changes = changesTo(slices, groups);
          const known = new Set([
            ...changes.keep,
            ...changes.delete,
            ...changes.write.map((w) => w.slice),
          ]);
          expect(
            slices.every((slice) => known.has(slice)),
            'every slice is thought of',
          ).to.equal(true);
          slices = applied(slices, changes);
          const right = groups.flatMap(({ ports, endpoints }) =>
            endpoints.map((one) => `${portsText(ports)} ${JSON.stringify(one)}`),
          );
          expect(contentOf(slices)).to.deep.equal(right.sort());
          for (const { endpoints = [] } of slices) {
            expect(endpoints.length).to.be.at.most(MAX);
            if (right.length > 0) expect(endpoints.length, 'no empty slice').to.be.above(0);
          }
          if (right.length === 0) expect(slices).to.have.lengthOf(1);
          const again = changesTo(slices, groups);
          expect([again.write, again.delete], 'nothing to do').to.deep.equal([[], []]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('write one slice when one endpoint changes among many', () => {
    const all = Array.from({ length: 250 }, (_, pod) => ({ pod, port: 0, isReady: true }));
    const slices = applied([], changesTo([], groupsOf(all)));
    expect(slices.map(({ endpoints = [] }) => endpoints.length)).to.deep.equal([100, 100, 50]);
    const others = all.map((one) => (one.pod === 120 ? { ...one, isReady: false } : one));
    const { write, delete: deleted, keep } = changesTo(slices, groupsOf(others));
    expect(write.map(({ slice }) => slice)).to.deep.equal([slices[1]]);
    expect([deleted.length, keep.length]).to.deep.equal([0, 2]);
    const more = [...all, { pod: 250, port: 0, isReady: true }];
    expect(changesTo(slices, groupsOf(more)).write.map(({ slice }) => slice)).to.deep.equal([
      slices[2],
    ]);
  });
});
