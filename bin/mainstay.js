#!/usr/bin/env -S node --max-semi-space-size=16 --v8-pool-size=1 --initial-old-space-size=64
'use strict';

// First of all, because loading takes longer than a signal does: SIGUSR1 would open Node's debugger to every user of
// this machine, and SIGUSR2 would end the process (docs/OPERATIONS.md). The server adds listeners that tell of them.
for (const signal of ['SIGUSR1', 'SIGUSR2']) process.on(signal, () => undefined);

const { loadBundle } = require('./load.js');

const [command] = process.argv.slice(2);
// The server is loaded without the rest: its start is what a restarted cluster waits for.
if (command === 'server') {
  run(loadBundle('server-command').runServerCommand(process.argv.slice(3)));
} else {
  run(loadBundle('main').main(process.argv.slice(2)));
}

function run(exitCode) {
  exitCode.then((code) => process.exit(code));
}
