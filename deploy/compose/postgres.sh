#!/bin/sh
# PostgreSQL that answers over TLS only. The server wants to own its files alone, whatever user an image gives it.
set -eu
install -d -o postgres -m 700 /run/tls
install -o postgres -m 600 /run/prime-nest/server.key /run/prime-nest/server.crt /run/prime-nest/superuser-password /run/tls/
export POSTGRES_PASSWORD_FILE=/run/tls/superuser-password
exec docker-entrypoint.sh postgres -c ssl=on -c ssl_cert_file=/run/tls/server.crt -c ssl_key_file=/run/tls/server.key \
  -c hba_file=/etc/prime-nest/pg_hba.conf -c 'listen_addresses=*' "$@"
