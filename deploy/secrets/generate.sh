#!/bin/sh
# Makes every secret of an installation, each one once: what exists is never overwritten, so running it again is safe
# and adds what is missing. Needs openssl and a POSIX shell.
#
#   deploy/secrets/generate.sh FOLDER
#
# Each subfolder holds what one reader may know, and is all that this reader ever gets to see:
#   gateway identity rbac audit        a service             identity-owner rbac-owner audit-owner  its migrations
#   provisioner  makes the streams     administrator         the first administrator (seed)
#   roles        makes the db roles    bus database cache    the servers              authority     nobody (our CA)
# Names that the servers are reached by, for their certificates and addresses:
#   NATS_HOST (nats)  POSTGRES_HOST (postgres)  REDIS_HOST (redis)  ADMIN_EMAIL (admin@prime-nest.local)
# READER_GROUP: numeric group that may read the files of the services; without it only their owner may.
set -eu
umask 077
folder=${1:?usage: generate.sh FOLDER}
: "${NATS_HOST:=nats}" "${POSTGRES_HOST:=postgres}" "${REDIS_HOST:=redis}" "${ADMIN_EMAIL:=admin@prime-nest.local}"
mkdir -p "$folder" && cd "$folder"
made=0

# keep FILE COMMAND...: the output of the command becomes the file, unless the file exists. A half-written one never does.
keep() {
  file=$1
  shift
  [ -s "$file" ] && return 0
  mkdir -p "$(dirname "$file")"
  "$@" >"$file.part"
  mv "$file.part" "$file"
  made=$((made + 1))
}
# A letter first, then letters and digits: NATS reads a password from its environment as configuration text.
password() { printf 'p%s' "$(openssl rand -hex 20)"; }
same() { printf '%s' "$1"; }
copy() { cat "$1"; }

keep authority/ca.key openssl ecparam -name prime256v1 -genkey -noout
keep authority/ca.crt openssl req -x509 -new -key authority/ca.key -days 3650 -subj '/CN=Prime Nest installation' \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign

# certificate FOLDER HOST: a server certificate for HOST, localhost and, in Kubernetes, HOST's longer names.
certificate() {
  keep "$1/server.key" openssl ecparam -name prime256v1 -genkey -noout
  [ -s "$1/server.crt" ] && return 0
  openssl req -new -key "$1/server.key" -subj "/CN=$2" -out "$1/server.csr"
  printf 'subjectAltName=DNS:%s,DNS:*.%s,DNS:localhost\nextendedKeyUsage=serverAuth\n' "$2" "$2" >"$1/server.ext"
  keep "$1/server.crt" openssl x509 -req -in "$1/server.csr" -CA authority/ca.crt -CAkey authority/ca.key \
    -set_serial "0x$(openssl rand -hex 16)" -days 825 -extfile "$1/server.ext"
  rm "$1/server.csr" "$1/server.ext"
}
certificate bus "$NATS_HOST" 2>/dev/null
certificate database "$POSTGRES_HOST" 2>/dev/null

keep database/superuser-password password
keep roles/superuser-password copy database/superuser-password
keep roles/ca.crt copy authority/ca.crt

keep cache/password password
keep cache/redis.conf same "requirepass $(cat cache/password)
"
keep gateway/redis-url same "redis://:$(cat cache/password)@$REDIS_HOST:6379"
keep gateway/redis.env same "REDIS_URL=$(cat gateway/redis-url)
"

for user in gateway identity rbac audit provisioner; do
  keep "$user/nats-password" password
  keep "$user/ca.crt" copy authority/ca.crt
done
# The server reads all of them, from its environment.
keep bus/passwords.env sh -c 'for user in gateway identity rbac audit provisioner; do
  echo "NATS_$(echo $user | tr a-z A-Z)_PASSWORD=$(cat $user/nats-password)"
done'

for service in identity rbac audit; do
  keep "roles/$service-password" password
  keep "roles/$service-owner-password" password
  at="$POSTGRES_HOST:5432/prime_nest"
  keep "$service/db-url" same "postgres://$service:$(cat "roles/$service-password")@$at"
  keep "$service-owner/db-migration-url" same "postgres://${service}_owner:$(cat "roles/$service-owner-password")@$at"
  # Migrations read both addresses, and see nothing else of the service.
  keep "$service-owner/db-url" copy "$service/db-url"
  keep "$service-owner/ca.crt" copy authority/ca.crt
done

keep identity/private-key openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:3072
keep identity/public-key openssl pkey -in identity/private-key -pubout
keep identity/key-encryption-key sh -c 'openssl rand -base64 32 | tr -d "\n"'
keep audit/signing-key openssl genpkey -algorithm ed25519

keep administrator/password sh -c 'openssl rand -hex 12 | tr -d "\n"'
keep administrator/email same "$ADMIN_EMAIL"
keep administrator/db-url copy identity/db-url
keep administrator/ca.crt copy authority/ca.crt

if [ -n "${READER_GROUP:-}" ]; then
  for reader in gateway identity rbac audit provisioner administrator roles identity-owner rbac-owner audit-owner bus cache; do
    chgrp -R "$READER_GROUP" "$reader"
    chmod 750 "$reader"
    chmod 640 "$reader"/*
  done
fi
echo "$made new secrets in $folder"
