import { describe, expect, test } from '@jest/globals';
import { busUsers } from '@prime-nest/contracts/bus';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from './folders.js';
import { deployedNatsConfig, deployedNatsUsers, natsConfig } from './nats-config.js';
import { newBusSeeds, publicKeys } from './nats-keys.js';
import { databaseRoles, passwordVariable, rolesSql } from './roles-sql.js';

const committed = (file: string): string => readFileSync(path.join(repositoryRoot, file), 'utf8');

describe('what is generated for deployments', () => {
  test('roles.sql is what the code says (npm run gen)', () => {
    expect(committed('deploy/postgres/roles.sql')).toBe(rolesSql());
  });

  test('nats.conf is what the contracts say (npm run gen)', () => {
    expect(committed('deploy/nats/nats.conf')).toBe(deployedNatsConfig());
    expect(committed('deploy/nats/users.conf')).toBe(deployedNatsUsers());
    expect(deployedNatsConfig()).toContain(deployedNatsUsers().slice(deployedNatsUsers().indexOf('\n')));
  });

  test('roles.sql holds no password, and takes one for every role', () => {
    const passwords = [...rolesSql().matchAll(/PASSWORD (\S+);/g)].map((match) => match[1]);
    expect(passwords).toEqual(databaseRoles.map((role) => `:'${passwordVariable(role)}'`));
  });

  test('nats.conf takes every public key from the environment, and knows no password', () => {
    const keys = [...deployedNatsConfig().matchAll(/nkey: (\S+)/g)].map((match) => match[1]);
    expect(keys).toEqual(busUsers.map((user) => `$NATS_${user.toUpperCase()}_NKEY`));
    expect(deployedNatsConfig()).not.toMatch(/^\s*password:/m);
  });
});

describe('natsConfig', () => {
  const place = { port: 4222, storeDir: '/with space/"quote"' };
  const seeds = newBusSeeds();
  const users = publicKeys(seeds);

  test('never puts accounts beside authorization (CVE-2023-47090)', () => {
    const text = natsConfig({ ...place, users, monitorPort: 8222, tls: { certFile: 'c', keyFile: 'k' } });
    expect(text).toMatch(/^authorization \{/m);
    expect(text).not.toMatch(/accounts|system_account|no_auth_user/);
  });

  test('quotes what it is given', () => {
    const text = natsConfig({ ...place, users });
    expect(text).toContain('store_dir: "/with space/\\"quote\\""');
  });

  test('holds the public half of every key and no private one', () => {
    const text = natsConfig({ ...place, users });
    for (const user of busUsers) {
      expect(text).toContain(`nkey: ${users[user]}`);
      expect(text).not.toContain(seeds[user]);
    }
    expect(text).not.toMatch(/\bSU[A-Z2-7]{56}/);
  });
});
