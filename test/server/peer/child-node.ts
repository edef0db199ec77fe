/**
 * A member's transport in a process of its own: prints its port, reads its peer from the first
 * line, then stays.
 */
import { createInterface } from 'node:readline';
import { TestNode } from './harness.js';

const node = await new TestNode(2n).start();
process.stdout.write(`${node.port}\n`);
createInterface({ input: process.stdin }).on('line', (line) => {
  node.transport.setPeers([{ id: 1n, urls: [line] }], []);
});
