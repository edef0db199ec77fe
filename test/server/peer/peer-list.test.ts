import { expect } from 'chai';
import { PeerList } from '../../../src/server/peer/peer-list.js';
import type { PeerAddress } from '../../../src/server/peer/types.js';

describe('PeerList', () => {
  it('tells the transport of all other members, and of those that were removed', () => {
    const list = [
      { ID: 1n, peerURLs: ['http://a:2380'] },
      { ID: 2n, peerURLs: ['http://b:2380', 'http://b:7001'] },
    ];
    const removed = [9n];
    const told: [readonly PeerAddress[], readonly bigint[]][] = [];
    const peers = new PeerList({ list: () => list, removedIds: () => removed }, 1n, {
      setPeers: (others, gone) => told.push([others, gone]),
    });
    expect(peers.size).to.equal(1);
    expect(told).to.deep.equal([]);
    peers.publish();
    list.push({ ID: 3n, peerURLs: [] });
    peers.publish();
    const second = { id: 2n, urls: ['http://b:2380', 'http://b:7001'] };
    expect(told).to.deep.equal([
      [[second], [9n]],
      [[second, { id: 3n, urls: [] }], [9n]],
    ]);
    expect(peers.size).to.equal(2);
  });
});
