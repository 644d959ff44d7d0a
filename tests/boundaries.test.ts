import { describe, expect, test } from '@jest/globals';
import { ESLint } from 'eslint';
import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';

const root = fileURLToPath(new URL('..', import.meta.url));
// Planted files exist in no project, so the rules that need types are off; import rules need none.
const eslint = new ESLint({
  cwd: root,
  overrideConfig: [tseslint.configs.disableTypeChecked],
});

/** Rules that a line of code breaks when it stands in the given file. */
async function broken(filePath: string, code: string): Promise<string[]> {
  const [result] = await eslint.lintText(code, { filePath: `${root}${filePath}` });
  return (result?.messages ?? []).map((message) => message.ruleId ?? `fatal: ${message.message}`);
}

const imports = (source: string): string => `import { x } from '${source}';\nexport const y = x;\n`;

describe('the import rules bite', () => {
  test.each([
    [
      'a service importing another by package',
      'services/gateway/src/planted.ts',
      '@prime-nest/identity/session/rotate',
    ],
    [
      'a service importing another by path',
      'services/rbac/src/policy/planted.store.ts',
      '../../../audit/src/log/entry.js',
    ],
    ['a service importing test code', 'services/audit/src/planted.ts', '@prime-nest/testkit/postgres'],
    ['a service importing the launcher', 'services/identity/src/planted.ts', '@prime-nest/devstack/process'],
    ['contracts importing the kit', 'libs/contracts/src/planted.ts', '@prime-nest/kit/log'],
    ['contracts importing a service', 'libs/contracts/src/planted.ts', '@prime-nest/rbac/policy/decide'],
    ['the kit importing a service', 'libs/kit/src/planted.ts', '@prime-nest/audit/log/entry'],
    ['the kit climbing its ladder', 'libs/kit/src/log.ts', './bus/client.js'],
    ['the kit climbing its ladder from a folder', 'libs/kit/src/bus/client.ts', '../outbox/outbox.js'],
    ['the superseded NATS client', 'libs/kit/src/bus/connection.ts', 'nats'],
  ])('%s', async (_name, file, source) => {
    expect(await broken(file, imports(source))).toContain('no-restricted-imports');
  });

  test.each([
    ['a framework in a pure file', imports('@nestjs/common'), '@typescript-eslint/no-restricted-imports'],
    ['a database in a pure file', imports('typeorm'), '@typescript-eslint/no-restricted-imports'],
    ['the network in a pure file', imports('node:http'), '@typescript-eslint/no-restricted-imports'],
    ['the clock in a pure file', 'export const now = Date.now();\n', 'no-restricted-syntax'],
    ['the clock by constructor in a pure file', 'export const now = new Date();\n', 'no-restricted-syntax'],
    ['the environment in a pure file', 'export const home = process.env.HOME;\n', 'no-restricted-globals'],
  ])('%s', async (_name, code, rule) => {
    expect(await broken('services/rbac/src/policy/planted.ts', code)).toContain(rule);
  });

  test('what is allowed stays allowed', async () => {
    expect(await broken('services/rbac/src/policy/planted.ts', imports('@prime-nest/contracts/rbac'))).toEqual([]);
    expect(await broken('services/rbac/src/policy/planted.store.ts', imports('@prime-nest/kit/database'))).toEqual([]);
    expect(await broken('libs/kit/src/outbox/planted.ts', imports('../bus/client.js'))).toEqual([]);
  });
});
