/**
 * kube-proxy in the network namespace it is started in, on an API server in memory with one
 * service, until its input ends. The argument is the user it runs as. Its log goes to standard
 * output.
 */
import { once } from 'node:events';
import { createLogger } from '../../../../src/base/observe/logger.js';
import { ENDPOINT_SLICES, SERVICES } from '../../../../src/cluster/client/resource-types.js';
import { restClient } from '../../../../src/cluster/client/rest-client.js';
import { SharedInformers } from '../../../../src/cluster/client/shared-informers.js';
import { startProxy } from '../../../../src/cluster/proxy/start-proxy.js';
import { systemClusterEnv } from '../../../../src/cluster/system-env.js';
import { FakeApi } from '../../../support/fake-api/fake-api.js';
import { httpOf, NODE_IP } from './network.js';
import { endpointOf, serviceOf, sliceOf } from './objects.js';

process.seteuid?.(Number(process.argv[2]));
const env = systemClusterEnv();
const log = createLogger({ level: 'info', format: 'json', outputs: ['stdout'] });
const api = new FakeApi(env);
const ports = [{ name: 'http', protocol: 'TCP', port: 8080, nodePort: 30_080 }];
api.put(SERVICES, serviceOf('web', { type: 'NodePort', clusterIP: '10.96.7.7', ports }));
const { ip, port } = httpOf(0);
const slicePorts = [{ name: 'http', protocol: 'TCP', port }];
api.put(ENDPOINT_SLICES, sliceOf('web', [endpointOf(ip)], { ports: slicePorts }));
const client = restClient(api);
const informers = new SharedInformers(env, log, client);
const node = { nodeName: 'node-a', nodeIp: NODE_IP, ownsNetwork: true };
const setup = { client, env, log, informers, ...node };
const proxy = await startProxy(setup);
informers.start();
process.stdin.resume();
await once(process.stdin, 'end');
await proxy.stop();
await informers.stop();
