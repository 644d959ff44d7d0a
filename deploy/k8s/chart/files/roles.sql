-- Roles, database and schemas of Prime Nest. Running it again is safe; it sets the passwords anew.
-- Generated from tools/devstack/src/roles-sql.ts by `npm run gen`.
-- Passwords come from the environment, or from psql -v NAME=...; a missing one is an error:
--   IDENTITY_OWNER_DB_PASSWORD
--   IDENTITY_DB_PASSWORD
--   RBAC_OWNER_DB_PASSWORD
--   RBAC_DB_PASSWORD
--   AUDIT_OWNER_DB_PASSWORD
--   AUDIT_DB_PASSWORD
\set ON_ERROR_STOP on
\getenv IDENTITY_OWNER_DB_PASSWORD IDENTITY_OWNER_DB_PASSWORD
\getenv IDENTITY_DB_PASSWORD IDENTITY_DB_PASSWORD
\getenv RBAC_OWNER_DB_PASSWORD RBAC_OWNER_DB_PASSWORD
\getenv RBAC_DB_PASSWORD RBAC_DB_PASSWORD
\getenv AUDIT_OWNER_DB_PASSWORD AUDIT_OWNER_DB_PASSWORD
\getenv AUDIT_DB_PASSWORD AUDIT_DB_PASSWORD

DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'identity_owner') THEN CREATE ROLE identity_owner; END IF; END $$;
ALTER ROLE identity_owner WITH LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD :'IDENTITY_OWNER_DB_PASSWORD';
ALTER ROLE identity_owner SET search_path = identity;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'identity') THEN CREATE ROLE identity; END IF; END $$;
ALTER ROLE identity WITH LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD :'IDENTITY_DB_PASSWORD';
ALTER ROLE identity SET search_path = identity;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rbac_owner') THEN CREATE ROLE rbac_owner; END IF; END $$;
ALTER ROLE rbac_owner WITH LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD :'RBAC_OWNER_DB_PASSWORD';
ALTER ROLE rbac_owner SET search_path = rbac;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rbac') THEN CREATE ROLE rbac; END IF; END $$;
ALTER ROLE rbac WITH LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD :'RBAC_DB_PASSWORD';
ALTER ROLE rbac SET search_path = rbac;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit_owner') THEN CREATE ROLE audit_owner; END IF; END $$;
ALTER ROLE audit_owner WITH LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD :'AUDIT_OWNER_DB_PASSWORD';
ALTER ROLE audit_owner SET search_path = audit;
DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'audit') THEN CREATE ROLE audit; END IF; END $$;
ALTER ROLE audit WITH LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD :'AUDIT_DB_PASSWORD';
ALTER ROLE audit SET search_path = audit;

SELECT 'CREATE DATABASE prime_nest' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'prime_nest') \gexec
\connect prime_nest

REVOKE ALL ON DATABASE prime_nest FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
DO $$ BEGIN IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN GRANT identity_owner TO CURRENT_USER; END IF; END $$;
GRANT CONNECT ON DATABASE prime_nest TO identity_owner, identity;
CREATE SCHEMA IF NOT EXISTS identity AUTHORIZATION identity_owner;
REVOKE ALL ON SCHEMA identity FROM PUBLIC;
GRANT USAGE ON SCHEMA identity TO identity;
DO $$ BEGIN IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN GRANT rbac_owner TO CURRENT_USER; END IF; END $$;
GRANT CONNECT ON DATABASE prime_nest TO rbac_owner, rbac;
CREATE SCHEMA IF NOT EXISTS rbac AUTHORIZATION rbac_owner;
REVOKE ALL ON SCHEMA rbac FROM PUBLIC;
GRANT USAGE ON SCHEMA rbac TO rbac;
DO $$ BEGIN IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN GRANT audit_owner TO CURRENT_USER; END IF; END $$;
GRANT CONNECT ON DATABASE prime_nest TO audit_owner, audit;
CREATE SCHEMA IF NOT EXISTS audit AUTHORIZATION audit_owner;
REVOKE ALL ON SCHEMA audit FROM PUBLIC;
GRANT USAGE ON SCHEMA audit TO audit;
