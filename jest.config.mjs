const transform = {
  '^.+\\.ts$': [
    '@swc/jest',
    {
      swcrc: false,
      sourceMaps: 'inline',
      jsc: {
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, useDefineForClassFields: false },
        keepClassNames: true,
        target: 'es2023',
      },
      module: { type: 'nodenext' },
    },
  ],
};

const project = (displayName, folder) => ({
  displayName,
  rootDir: `${import.meta.dirname}/${folder}`,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  testMatch: ['<rootDir>/**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  transform,
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
});

/** Real servers are found once, before any worker starts; each test file then starts or creates its own. */
export default {
  globalSetup: './scripts/jest-global-setup.mjs',
  globalTeardown: './scripts/jest-global-teardown.mjs',
  testTimeout: 120_000,
  // On a machine of two cores jest would run every file in its own process and keep each file's modules until the end:
  // some 4 GB. With a limit, the files run in a child that is replaced when it has grown.
  workerIdleMemoryLimit: '1GB',
  projects: [
    project('contracts', 'libs/contracts'),
    project('assertion', 'libs/assertion'),
    project('kit', 'libs/kit'),
    project('devstack', 'tools/devstack'),
    project('testkit', 'libs/testkit'),
    project('gateway', 'services/gateway'),
    project('identity', 'services/identity'),
    project('rbac', 'services/rbac'),
    project('audit', 'services/audit'),
    project('tests', 'tests'),
  ],
};
