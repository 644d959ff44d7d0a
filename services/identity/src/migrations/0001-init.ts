import { createOutboxTables } from '@prime-nest/kit/outbox/outbox-migration';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Everything identity keeps. The role `identity` gets, per table, what the code does and nothing else. */
export class Init1700000000001 implements MigrationInterface {
  readonly name = 'Init1700000000001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(tables);
    await runner.query(grants);
    await runner.query(createOutboxTables('identity'));
  }

  down(): Promise<void> {
    return Promise.reject(new Error('migrations go forward only'));
  }
}

const tables = `
CREATE TABLE account (
  id uuid PRIMARY KEY,
  email text NOT NULL CHECK (email = lower(email) AND length(email) <= 254),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 120),
  password_hash text NOT NULL CHECK (password_hash LIKE '$argon2%'),
  -- Raised by whatever makes older sessions and access tokens worthless.
  credential_epoch integer NOT NULL DEFAULT 1 CHECK (credential_epoch >= 1),
  is_active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  deleted_at timestamptz,
  CHECK (deleted_at IS NULL OR NOT is_active)
);
-- A deleted account gives its address free.
CREATE UNIQUE INDEX account_email_key ON account (email) WHERE deleted_at IS NULL;
CREATE INDEX account_created_at_idx ON account (created_at, id) WHERE deleted_at IS NULL;

-- One row is one refresh token family: there is nothing to fork.
CREATE TABLE session (
  id uuid PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES account (id),
  credential_epoch integer NOT NULL,
  generation integer NOT NULL DEFAULT 0 CHECK (generation >= 0),
  -- The key that refresh tokens are derived from, encrypted. No token is stored, nor a hash of one.
  sealed_key bytea NOT NULL,
  -- Keyed hash of the Idempotency-Key that minted the current generation.
  retry_key bytea,
  -- The last redemptions, newest last: what an incident is compared with.
  redemptions jsonb NOT NULL DEFAULT '[]',
  ip text,
  user_agent text,
  created_at timestamptz NOT NULL,
  rotated_at timestamptz NOT NULL,
  idle_expires_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz,
  revoked_reason text,
  CHECK (idle_expires_at <= expires_at),
  CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
);
CREATE INDEX session_account_id_idx ON session (account_id) WHERE revoked_at IS NULL;
CREATE INDEX session_expires_at_idx ON session (expires_at);

-- Failed sign-ins, by where they came from. Keys are keyed hashes: no e-mail address and no IP address is in here.
CREATE TABLE login_lane (
  lane bytea PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('stranger', 'device', 'source', 'reauth')),
  identifier bytea,
  failures integer NOT NULL CHECK (failures >= 0),
  window_started_at timestamptz NOT NULL,
  locked_until timestamptz,
  lock_count integer NOT NULL DEFAULT 0,
  locked_at timestamptz
);
CREATE INDEX login_lane_identifier_idx ON login_lane (identifier);
CREATE INDEX login_lane_window_idx ON login_lane (window_started_at);

-- What gateways must refuse although the signature holds. The head is raised in the revoking transaction and its lock
-- is held until the commit, so sequences appear in order and without a gap.
CREATE TABLE revocation_head (
  id boolean PRIMARY KEY DEFAULT true CHECK (id),
  sequence bigint NOT NULL
);
INSERT INTO revocation_head (sequence) VALUES (0);
CREATE TABLE revocation (
  sequence bigint PRIMARY KEY,
  session_id uuid,
  account_id uuid,
  min_epoch integer,
  until timestamptz NOT NULL,
  CHECK ((session_id IS NULL) <> (account_id IS NULL)),
  CHECK ((account_id IS NULL) = (min_epoch IS NULL))
);
CREATE INDEX revocation_until_idx ON revocation (until);

CREATE TABLE signing_key (
  kid text PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'retired', 'compromised')),
  origin text NOT NULL CHECK (origin IN ('imported', 'generated')),
  public_jwk jsonb NOT NULL,
  -- PKCS #8, encrypted; gone once nothing may be signed with it any more.
  sealed_private_key bytea,
  created_at timestamptz NOT NULL,
  -- Since when the key is in its state.
  state_since timestamptz NOT NULL,
  CHECK (state NOT IN ('pending', 'active') OR sealed_private_key IS NOT NULL)
);
CREATE UNIQUE INDEX signing_key_one_active ON signing_key (state) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_one_pending ON signing_key (state) WHERE state = 'pending';

-- One-time links. Only a hash of what is in the link is kept.
CREATE TABLE password_reset (
  code_hash bytea PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES account (id),
  credential_epoch integer NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz
);
CREATE INDEX password_reset_account_id_idx ON password_reset (account_id);
`;

const grants = `
GRANT SELECT, INSERT ON account TO identity;
GRANT UPDATE (name, password_hash, credential_epoch, is_active, updated_at, deleted_at) ON account TO identity;
GRANT SELECT, INSERT, DELETE ON session TO identity;
GRANT UPDATE (generation, retry_key, redemptions, rotated_at, idle_expires_at, revoked_at, revoked_reason)
  ON session TO identity;
GRANT SELECT, INSERT, UPDATE, DELETE ON login_lane TO identity;
GRANT SELECT ON revocation_head TO identity;
GRANT UPDATE (sequence) ON revocation_head TO identity;
GRANT SELECT, INSERT, DELETE ON revocation TO identity;
GRANT SELECT, INSERT ON signing_key TO identity;
GRANT UPDATE (state, sealed_private_key, state_since) ON signing_key TO identity;
GRANT SELECT, INSERT, DELETE ON password_reset TO identity;
GRANT UPDATE (used_at) ON password_reset TO identity;
`;
