import { expect } from 'chai';
import { parseFlows, staleFlows } from '../../../src/cluster/proxy/nftables/udp-flows.js';
import { entry } from './support/network.js';

const to = (ip: string, port = 53): { ip: string; port: number } => ({ ip, port });

describe('cluster/proxy/nftables/udp-flows', () => {
  it('reads what conntrack lists', () => {
    const output = [
      'udp      17 28 src=10.244.1.3 dst=10.96.0.10 sport=5000 dport=53 [UNREPLIED] ' +
        'src=10.244.1.2 dst=10.244.1.3 sport=5353 dport=5000 mark=0 use=1',
      'udp      17 119 src=10.244.1.4 dst=10.96.0.10 sport=5001 dport=53 ' +
        'src=10.244.1.2 dst=10.244.1.4 sport=5353 dport=5001 [ASSURED] mark=0 use=1',
      'udp      17 2 src=10.99.0.1 dst=10.99.0.11 sport=1 dport=30053 packets=1 bytes=30 ' +
        'src=10.244.1.2 dst=10.99.0.11 sport=53 dport=4444 packets=1 bytes=30 mark=0 use=1',
      '',
    ].join('\n');
    expect(parseFlows(output)).to.deep.equal([
      { destination: to('10.96.0.10'), answeredBy: to('10.244.1.2', 5353) },
      { destination: to('10.99.0.11', 30_053), answeredBy: to('10.244.1.2') },
    ]);
  });

  it('finds those that lead to no endpoint of their service', () => {
    const dns = entry({ protocol: 'udp', port: 53, nodePort: 30_053, all: [to('10.244.1.2')] });
    const flow = (destination: ReturnType<typeof to>, answeredBy: typeof destination) => ({
      destination,
      answeredBy,
    });
    const fresh = flow(to('10.96.7.7'), to('10.244.1.2'));
    const stale = flow(to('10.96.7.7'), to('10.244.1.9'));
    const unled = flow(to('10.96.7.7'), to('10.96.7.7'));
    const otherService = flow(to('10.96.7.8'), to('10.244.1.9'));
    const otherPort = flow(to('10.96.7.7', 54), to('10.244.1.9'));
    const staleNodePort = flow(to('10.99.0.11', 30_053), to('10.244.1.9'));
    const elsewhere = flow(to('192.0.2.1', 30_053), to('192.0.2.1', 30_053));
    const flows = [fresh, stale, unled, otherService, otherPort, staleNodePort, elsewhere];
    expect(staleFlows(flows, [dns])).to.deep.equal([stale, unled, staleNodePort]);
  });
});
