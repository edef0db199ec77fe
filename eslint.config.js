import tseslint from 'typescript-eslint';

/**
 * What the compiler and the import graph cannot see. The rules with types are the reason for having a linter at
 * all: a promise nobody awaits, a switch that misses a case, a number or bigint used as a condition (0 is a legal
 * revision and 0n means "no lease").
 */

/** Consensus and storage are replayed by the simulator: time, chance and scheduling come from Env only. */
const NOT_DETERMINISTIC = [
  'Date',
  'performance',
  'process',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'crypto',
];

/** Checks of plain JavaScript that neither tsc nor the typed rules make. */
const plainRules = {
  eqeqeq: 'error',
  'no-constant-condition': ['error', { checkLoops: false }],
  'no-debugger': 'error',
  'no-dupe-else-if': 'error',
  'no-empty': 'error',
  'no-eval': 'error',
  'no-fallthrough': 'error',
  'no-irregular-whitespace': 'error',
  'no-loss-of-precision': 'error',
  'no-new-func': 'error',
  'no-param-reassign': 'off',
  'no-restricted-exports': [
    'error',
    { restrictDefaultExports: { direct: true, named: true, defaultFrom: true } },
  ],
  'no-self-assign': 'error',
  'no-self-compare': 'error',
  'no-template-curly-in-string': 'error',
  'no-throw-literal': 'error',
  'no-unsafe-finally': 'error',
  'no-useless-escape': 'error',
  'no-var': 'error',
  'no-warning-comments': ['error', { terms: ['todo', 'fixme', 'xxx', 'hack'], location: 'start' }],
  'prefer-const': ['error', { destructuring: 'all' }],
  'use-isnan': 'error',
  'valid-typeof': 'error',
};

const typedRules = {
  '@typescript-eslint/consistent-type-imports': ['error', { disallowTypeAnnotations: false }],
  '@typescript-eslint/no-confusing-void-expression': 'off',
  '@typescript-eslint/no-explicit-any': 'error',
  '@typescript-eslint/no-floating-promises': 'error',
  '@typescript-eslint/no-non-null-assertion': 'error',
  '@typescript-eslint/no-shadow': 'error',
  '@typescript-eslint/no-unused-vars': [
    'error',
    { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
  ],
  // `as const` objects and the union of their values share a name on purpose.
  '@typescript-eslint/no-redeclare': 'off',
  '@typescript-eslint/prefer-readonly': 'error',
  '@typescript-eslint/require-await': 'error',
  '@typescript-eslint/restrict-template-expressions': [
    'error',
    {
      allowNumber: true,
      allowBoolean: true,
      allowNullish: false,
      allowAny: false,
      allowRegExp: false,
    },
  ],
  '@typescript-eslint/strict-boolean-expressions': [
    'error',
    {
      allowString: false,
      allowNumber: false,
      allowNullableObject: false,
      allowNullableBoolean: false,
    },
  ],
  // A default must be written to handle the remaining cases alike; leaving them out by accident is the error.
  '@typescript-eslint/switch-exhaustiveness-check': [
    'error',
    { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
  ],
};

export default [
  { ignores: ['dist/', 'coverage/', 'node_modules/', 'src/gen/', 'docs/', 'tmp/'] },
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' } },
  { rules: plainRules },
  ...tseslint.configs.recommendedTypeChecked.map((config) => ({ ...config, files: ['**/*.ts'] })),
  {
    files: ['**/*.ts'],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: typedRules,
  },
  {
    files: ['src/raft/**/*.ts', 'src/mvcc/**/*.ts'],
    // The real storage engine; the simulator has its own.
    ignores: ['src/storage/level-engine.ts'],
    rules: {
      'no-restricted-globals': ['error', ...NOT_DETERMINISTIC],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random', message: 'Use Env.randomU32.' },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // chai asserts with property reads: expect(x).to.be.true.
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-unsafe-enum-comparison': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNullish: true, allowArray: true },
      ],
      // An async test body may have nothing to await on one of its implementations.
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    // Its tool loads it by its default export.
    files: ['eslint.config.js'],
    rules: { 'no-restricted-exports': 'off' },
  },
];
