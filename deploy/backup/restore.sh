#!/bin/sh
# Puts a backup into an empty database and proves that it holds what was saved: each table's rows by count and digest.
#
#   deploy/backup/restore.sh FOLDER       with PGHOST, PGUSER, PGPASSWORD ... of a superuser
#
# Before: stop the services, make the roles and the database (deploy/postgres/roles.sql). It refuses a database that has
# tables: it never overwrites. After: remove the stream EVENTS and provision it again, check the audit log, start the
# services (docs/en/operations.md). A failure leaves the database as it was.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:?usage: restore.sh FOLDER}"
export PGDATABASE="${PGDATABASE:-prime_nest}"
sha256sum --check --quiet SHA256SUMS

tables=$(psql --no-psqlrc -At -c "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('identity', 'rbac', 'audit')")
[ "$tables" = 0 ] || { echo "the database $PGDATABASE is not empty: $tables tables and indexes" >&2; exit 1; }

# The dump brings the schemas with their owners and grants; roles.sql made them empty.
{
  echo 'DROP SCHEMA IF EXISTS identity, rbac, audit;'
  pg_restore --file=- database.dump
} | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction >/dev/null

found=$(mktemp)
trap 'rm -f "$found"' EXIT
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 -f "$here/digest.sql" >"$found"
if ! diff rows.txt "$found" >&2; then
  echo 'FAILED: the restored rows are not those of the backup (left: backup, right: database)' >&2
  exit 1
fi
echo "restored and verified: $(wc -l <rows.txt) tables, $(awk -F'|' '{ n += $2 } END { print n }' rows.txt) rows"
