import { createOutboxTables } from '@prime-nest/kit/outbox/outbox-migration';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The policy, its single revision and its history. Foreign keys never cascade: a delete that would take a grant with
 * it fails. The service may add to the changelog and read it, never change it.
 */
const tables = `
CREATE TABLE rbac_state (
  id smallint PRIMARY KEY CHECK (id = 1),
  revision bigint NOT NULL CHECK (revision >= 0)
);
INSERT INTO rbac_state (id, revision) VALUES (1, 0);

CREATE TABLE rbac_changelog (
  revision bigint PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor_type text NOT NULL,
  actor_id text,
  op text NOT NULL,
  delta jsonb NOT NULL
);

CREATE TABLE rbac_member (
  id uuid PRIMARY KEY,
  lease_until timestamptz NOT NULL,
  acked_revision bigint NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE feature (
  id uuid PRIMARY KEY,
  name text NOT NULL CONSTRAINT feature_name_key UNIQUE,
  description text NOT NULL,
  is_active boolean NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE permission (
  id uuid PRIMARY KEY,
  feature_id uuid NOT NULL CONSTRAINT permission_feature_fk REFERENCES feature ON DELETE RESTRICT,
  action text NOT NULL,
  description text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT permission_name_key UNIQUE (feature_id, action)
);

CREATE TABLE role (
  id uuid PRIMARY KEY,
  name text NOT NULL,
  description text NOT NULL,
  is_active boolean NOT NULL,
  receives_new boolean NOT NULL DEFAULT false,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX role_name_key ON role (lower(name));

CREATE TABLE role_permission (
  role_id uuid NOT NULL CONSTRAINT role_permission_role_fk REFERENCES role ON DELETE RESTRICT,
  permission_id uuid NOT NULL CONSTRAINT role_permission_permission_fk REFERENCES permission ON DELETE RESTRICT,
  PRIMARY KEY (role_id, permission_id)
);
CREATE INDEX role_permission_permission_idx ON role_permission (permission_id);

CREATE TABLE principal (
  id uuid PRIMARY KEY,
  is_active boolean NOT NULL
);

CREATE TABLE principal_role (
  principal_id uuid NOT NULL CONSTRAINT principal_role_principal_fk REFERENCES principal ON DELETE RESTRICT,
  role_id uuid NOT NULL CONSTRAINT principal_role_role_fk REFERENCES role ON DELETE RESTRICT,
  expires_at timestamptz,
  PRIMARY KEY (principal_id, role_id)
);
CREATE INDEX principal_role_role_idx ON principal_role (role_id);

CREATE TABLE seed_item (
  name text PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
`;

const grants = `
GRANT SELECT ON rbac_state TO rbac;
GRANT UPDATE (revision) ON rbac_state TO rbac;
GRANT SELECT ON rbac_changelog TO rbac;
GRANT INSERT (revision, actor_type, actor_id, op, delta) ON rbac_changelog TO rbac;
GRANT SELECT, INSERT, UPDATE, DELETE ON rbac_member TO rbac;
GRANT SELECT, INSERT, UPDATE, DELETE ON feature, permission, role TO rbac;
GRANT SELECT, INSERT, DELETE ON role_permission, principal_role TO rbac;
GRANT SELECT, INSERT ON principal TO rbac;
GRANT UPDATE (is_active) ON principal TO rbac;
GRANT SELECT, INSERT ON seed_item TO rbac;
`;

export class Init0001 implements MigrationInterface {
  readonly name = 'Init0001700000000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(tables);
    await runner.query(grants);
    await runner.query(createOutboxTables('rbac'));
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations only go forward'));
  }
}
