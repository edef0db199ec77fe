/** Forwards two ports of a service in the network namespace it is started in, until its input ends. */
import { once } from 'node:events';
import { silentLogger } from '../../../../src/base/observe/logger.js';
import { UserspaceSink } from '../../../../src/cluster/proxy/userspace/userspace-sink.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { entry, httpOf, NODE_IP, udpOf } from './network.js';

const sink = new UserspaceSink({
  env: systemClusterEnv(),
  log: silentLogger,
  nodeIp: NODE_IP,
  canAddAddresses: true,
});
const now = [
  entry({ all: [httpOf(0)] }),
  entry({ id: 'udp', protocol: 'udp', port: 53, all: [udpOf(1)] }),
];
await sink.apply(new Map([['service', { before: [], now }]]));
console.log('ready');
process.stdin.resume();
await once(process.stdin, 'end');
await sink.stop();
