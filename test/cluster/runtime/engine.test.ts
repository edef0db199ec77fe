import { EngineUnderTest } from './engine-under-test.js';
import { whereEngineRuns } from './facilities-needed.js';
import { podSuite } from './pod-suite.js';

whereEngineRuns('the container engine', () => {
  podSuite(new EngineUnderTest(), [
    'isolation',
    'network',
    'resources',
    'terminal',
    'stdin',
    'mounts',
    'users',
  ]);
});
