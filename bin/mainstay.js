#!/usr/bin/env -S node --max-semi-space-size=16 --v8-pool-size=1 --initial-old-space-size=64
import { existsSync } from 'node:fs';

const entry = new URL('../dist/cli/main.js', import.meta.url);
if (existsSync(entry)) {
  const { main } = await import(entry.href);
  process.exit(await main(process.argv.slice(2)));
} else {
  process.stderr.write(
    'mainstay: this checkout is not built yet\n  next step: npm install && npm run build\n',
  );
  process.exit(1);
}
