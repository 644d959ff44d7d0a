import { describe, expect, test } from '@jest/globals';
import { busUsers } from '@prime-nest/contracts/bus';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from './folders.js';
import { busPasswords, deployedNatsConfig, natsConfig } from './nats-config.js';
import { databaseRoles, passwordVariable, rolesSql } from './roles-sql.js';

const committed = (file: string): string => readFileSync(path.join(repositoryRoot, file), 'utf8');

describe('what is generated for deployments', () => {
  test('roles.sql is what the code says (npm run gen)', () => {
    expect(committed('deploy/postgres/roles.sql')).toBe(rolesSql());
  });

  test('nats.conf is what the contracts say (npm run gen)', () => {
    expect(committed('deploy/nats/nats.conf')).toBe(deployedNatsConfig());
  });

  test('roles.sql holds no password, and takes one for every role', () => {
    const passwords = [...rolesSql().matchAll(/PASSWORD (\S+);/g)].map((match) => match[1]);
    expect(passwords).toEqual(databaseRoles.map((role) => `:'${passwordVariable(role)}'`));
  });

  test('nats.conf takes every password from the environment', () => {
    const passwords = [...deployedNatsConfig().matchAll(/password: (\S+)/g)].map((match) => match[1]);
    expect(passwords).toEqual(busUsers.map((user) => `$NATS_${user.toUpperCase()}_PASSWORD`));
  });
});

describe('natsConfig', () => {
  const place = { port: 4222, storeDir: '/with space/"quote"' };
  const users = busPasswords((user) => `p"${user}`);

  test('never puts accounts beside authorization (CVE-2023-47090)', () => {
    const text = natsConfig({ ...place, users, monitorPort: 8222, tls: { certFile: 'c', keyFile: 'k' } });
    expect(text).toMatch(/^authorization \{/m);
    expect(text).not.toMatch(/accounts|system_account|no_auth_user/);
  });

  test('quotes what it is given', () => {
    const text = natsConfig({ ...place, users });
    expect(text).toContain('store_dir: "/with space/\\"quote\\""');
    expect(text).toContain('password: "p\\"gateway"');
  });
});
