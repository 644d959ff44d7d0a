#!/bin/sh
# The part of the official image's start that the compose file relies on: a data folder is made on the first start,
# with the superuser's password from POSTGRES_PASSWORD or its file, and the server does not run as root.
set -eu
if [ "$(id -u)" = 0 ]; then
  install -d -o postgres -m 3775 /var/run/postgresql
  mkdir -p "$PGDATA" && chown -R postgres "$(dirname "$PGDATA")" && chmod 700 "$PGDATA"
  exec gosu postgres "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD_FILE:-}" ]; then
    POSTGRES_PASSWORD_FILE=$(mktemp)
    printf '%s' "$POSTGRES_PASSWORD" >"$POSTGRES_PASSWORD_FILE"
  fi
  initdb --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >/dev/null
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  printf "listen_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
fi
exec "$@"
