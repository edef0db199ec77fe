import { verifyInvariants } from '../../src/base/invariant.js';

/** Loaded before every test: the costly checks of invariants are on in tests. */
verifyInvariants();
