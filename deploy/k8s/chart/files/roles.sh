#!/bin/sh
# Applies deploy/postgres/roles.sql with the passwords of the secrets folder. Safe to repeat: it sets them anew.
set -eu
cd /run/prime-nest
for role in identity identity-owner rbac rbac-owner audit audit-owner; do
  export "$(echo "$role" | tr 'a-z-' 'A-Z_')_DB_PASSWORD=$(cat "$role-password")"
done
PGPASSWORD=$(cat superuser-password)
: "${PGHOST:=postgres}" "${PGUSER:=postgres}"
export PGHOST PGUSER PGPASSWORD PGSSLMODE=verify-full PGSSLROOTCERT=/run/prime-nest/ca.crt
exec psql --no-psqlrc --quiet -d postgres -f /etc/prime-nest/roles.sql
