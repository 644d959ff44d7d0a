#!/bin/sh
# Copies the whole database as of one moment into a new folder: what identity, rbac and audit know belongs together.
#
#   deploy/backup/backup.sh FOLDER        with PGHOST, PGUSER, PGPASSWORD ... of a role that may read everything
#
# database.dump   the dump (pg_dump, custom format)
# rows.txt        every table's rows and their digest, of the same snapshot: what a restore is compared with
# checkpoint.txt  the newest signed checkpoint of the audit log; keep it elsewhere too, it convicts a forged log
# SHA256SUMS      of the three
#
# The secrets (deploy/secrets) are not in it and have to be kept apart from it: identity's keys are encrypted under
# key-encryption-key, and a copy with both opens everything.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: backup.sh FOLDER}
export PGDATABASE="${PGDATABASE:-prime_nest}"
umask 077
[ ! -e "$folder/SHA256SUMS" ] || { echo "there is a backup in $folder already" >&2; exit 1; }
mkdir -p "$folder"
cd "$folder"

# The session below holds its snapshot open while pg_dump reads from the same one.
BACKUP_HERE=$here psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 <<'SQL'
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --format=custom --snapshot="$SNAPSHOT" --schema=identity --schema=rbac --schema=audit --file=database.dump || rm -f database.dump
\getenv here BACKUP_HERE
\set digest :here /digest.sql
\o rows.txt
\i :digest
\o checkpoint.txt
SELECT rtrim(note, E'\n') FROM audit.checkpoint ORDER BY tree_size DESC LIMIT 1;
\o
COMMIT;
SQL
[ -s database.dump ] || { echo 'pg_dump failed' >&2; exit 1; }
[ -s rows.txt ] || { echo 'there are no tables to copy' >&2; exit 1; }
sha256sum database.dump rows.txt checkpoint.txt >SHA256SUMS
echo "backup of $(wc -l <rows.txt) tables, $(awk -F'|' '{ n += $2 } END { print n }' rows.txt) rows, $(wc -c <database.dump) bytes in $folder"
