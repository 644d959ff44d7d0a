#!/bin/sh
# The part of the official image's start that the compose file relies on: a data folder is made on the first start,
# with the superuser's password from POSTGRES_PASSWORD_FILE, and the server does not run as root.
set -eu
if [ "$(id -u)" = 0 ]; then
  install -d -o postgres -m 3775 /var/run/postgresql
  mkdir -p "$PGDATA" && chown -R postgres "$(dirname "$PGDATA")" && chmod 700 "$PGDATA"
  exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
fi
exec "$@"
