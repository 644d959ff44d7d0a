import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/**
 * The import rules are the architecture: who may depend on whom is decided here and nowhere else, and
 * tests/boundaries.test.ts plants a forbidden import for each rule and demands the failure.
 */
const services = ['gateway', 'identity', 'rbac', 'audit'];

const noService = (except) =>
  services
    .filter((service) => service !== except)
    .flatMap((service) => [
      {
        group: [
          `@prime-nest/${service}`,
          `@prime-nest/${service}/*`,
          `**/services/${service}/**`,
          `../**/${service}/src/**`,
        ],
        message: `Services meet on the bus only: use the contracts, not the code of ${service}.`,
      },
    ]);

const noTestCode = {
  group: ['@prime-nest/testkit', '@prime-nest/testkit/*', '@prime-nest/devstack', '@prime-nest/devstack/*', '@jest/*'],
  message: 'Nothing that ships may depend on test or launcher code.',
};
const noKit = { group: ['@prime-nest/kit', '@prime-nest/kit/*'], message: 'Contracts know no process: no kit here.' };
const noDist = { group: ['**/dist/**'], message: 'Import by package name, not from build output.' };
const noOldNats = { group: ['nats'], message: 'The client is @nats-io/transport-node; see docs/decisions.' };

/** Rungs of the kit from low to high; a file may import only what stands below its own rung. */
const ladder = ['clock', 'config', 'log', 'telemetry', 'database', 'bus', 'outbox', 'lifecycle'];
const climbing = ladder.slice(0, -1).map((rung, level) => ({
  files: [`libs/kit/src/${rung}.ts`, `libs/kit/src/${rung}-*.ts`, `libs/kit/src/${rung}/**/*.ts`],
  ignores: ['**/*.test.ts'],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          ...noService(),
          noTestCode,
          noDist,
          noOldNats,
          {
            regex: `^(\\./|\\.\\./)+(${ladder.slice(level + 1).join('|')})([./-]|$)`,
            message: `In the kit "${rung}" stands below: it may not import what builds on it.`,
          },
        ],
      },
    ],
  },
}));

const restrict = (files, patterns) => ({
  files,
  ignores: ['**/*.test.ts'],
  rules: { 'no-restricted-imports': ['error', { patterns: [noDist, noOldNats, ...patterns] }] },
});

/** No suffix, no I/O: a plain file under services/X/src is a pure rule. */
const edgeSuffixes = [
  'rpc',
  'http',
  'consumer',
  'job',
  'command',
  'store',
  'guard',
  'filter',
  'module',
  'worker',
  'entity',
  'decorator',
  'test',
];

export default tseslint.config(
  {
    ignores: ['**/dist/**', '**/node_modules/**', '.nx/**', '.cache/**', '.prime-nest/**', 'coverage/**', 'reports/**'],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.spec.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/ban-ts-comment': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      'no-console': 'error',
      'max-lines': ['error', { max: 400 }],
      'max-params': ['error', 4],
      eqeqeq: 'error',
    },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: {
      globals: {
        AbortSignal: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        console: 'readonly',
        fetch: 'readonly',
        process: 'readonly',
        setTimeout: 'readonly',
      },
    },
  },
  {
    files: ['tools/**/*.ts', 'scripts/**', '**/src/{migrate,seed,main}.ts', '**/bench/**', '**/prove/**'],
    rules: { 'no-console': 'off' },
  },

  restrict(['libs/contracts/src/**/*.ts'], [...noService(), noTestCode, noKit]),
  // For services that are not ours: it must not bring our ways of running one along.
  restrict(['libs/assertion/src/**/*.ts'], [...noService(), noTestCode, noKit]),
  restrict(['libs/kit/src/**/*.ts'], [...noService(), noTestCode]),
  ...climbing,
  restrict(['tools/devstack/src/**/*.ts'], noService()),
  ...services.map((service) => restrict([`services/${service}/src/**/*.ts`], [...noService(service), noTestCode])),
  {
    files: ['services/*/src/*/**/*.ts'],
    ignores: [
      `services/*/src/**/*.{${edgeSuffixes.join(',')}}.ts`,
      'services/*/src/{migrations,workers}/**',
      '**/*.test.ts',
    ],
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'process', message: 'A file without suffix is pure: configuration is passed in.' },
        { name: 'fetch', message: 'A file without suffix is pure: no I/O.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: "MemberExpression[object.name='Date'][property.name='now']", message: 'Time is passed in.' },
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Time is passed in.' },
        { selector: "MemberExpression[object.name='Math'][property.name='random']", message: 'Chance is passed in.' },
        { selector: 'Decorator', message: 'Decorators belong to edge and wiring files.' },
      ],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['@nestjs/*', 'typeorm', 'pg', 'ioredis', '@nats-io/*', 'fastify', 'rxjs'],
              allowTypeImports: true,
              message: 'A file without suffix is pure: give it a suffix or move the I/O.',
            },
            {
              group: ['node:fs', 'node:fs/*', 'node:net', 'node:http', 'node:child_process'],
              message: 'A file without suffix is pure: no I/O.',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['**/*.test.ts', 'tests/**/*.ts'],
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
