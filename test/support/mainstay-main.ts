/** The `mainstay` command run from its sources, for tests that need real processes. */
import { main } from '../../src/cli/main.js';

process.exit(await main(process.argv.slice(2)));
