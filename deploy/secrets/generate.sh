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
certificate cache "$REDIS_HOST" 2>/dev/null

keep database/superuser-password password
keep roles/superuser-password copy database/superuser-password
keep roles/ca.crt copy authority/ca.crt

keep cache/password password
keep cache/ca.crt copy authority/ca.crt
keep cache/redis.conf same "requirepass $(cat cache/password)
"
keep gateway/redis-url same "rediss://:$(cat cache/password)@$REDIS_HOST:6379"

# An nkey is an ed25519 key as NATS writes it: a kind, 32 bytes and their CRC-16 (XMODEM), in base32. nkey HEX KIND+BYTES.
nkey() {
  printf '%s\n' "$1" | awk '{
    for (i = 1; i <= length($0); i++) {
      digit = index("0123456789abcdef", substr($0, i, 1)) - 1
      for (weight = 8; weight >= 1; weight /= 2) { bit[n++] = digit >= weight; if (digit >= weight) digit -= weight }
    }
    for (k = 0; k < n; k++) {
      carry = (crc[0] + 0) != bit[k]
      for (i = 0; i < 15; i++) crc[i] = crc[i + 1] + 0
      crc[15] = 0
      if (carry) { crc[3] = !crc[3]; crc[10] = !crc[10]; crc[15] = !crc[15] }
    }
    for (i = 8; i < 16; i++) bit[n++] = crc[i] + 0
    for (i = 0; i < 8; i++) bit[n++] = crc[i] + 0
    while (n % 5) bit[n++] = 0
    for (k = 0; k < n; k += 5)
      printf "%s", substr("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16 * bit[k] + 8 * bit[k + 1] + 4 * bit[k + 2] + 2 * bit[k + 3] + bit[k + 4] + 1, 1)
  }'
}
# The key at the end of a DER structure, in hexadecimal.
key_bytes() { tail -c 32 | od -An -v -tx1 | tr -d ' \n'; }

# Each user of the bus has a seed (SU...), which never leaves it; the server knows the public halves (U...) alone.
for user in gateway identity rbac audit provisioner; do
  if [ ! -s "$user/nkey-seed" ]; then
    mkdir -p "$user"
    openssl genpkey -algorithm ed25519 -outform DER -out "$user/new.der"
    rm -f "$user/nkey"
    keep "$user/nkey" nkey "a0$(openssl pkey -inform DER -in "$user/new.der" -pubout -outform DER | key_bytes)"
    keep "$user/nkey-seed" nkey "9500$(key_bytes <"$user/new.der")"
    rm "$user/new.der"
  fi
  keep "$user/ca.crt" copy authority/ca.crt
done
# The server reads them from its environment.
mkdir -p bus
for user in gateway identity rbac audit provisioner; do
  echo "NATS_$(echo $user | tr a-z A-Z)_NKEY=$(cat "$user/nkey")"
done >bus/nkeys.env.part
cmp -s bus/nkeys.env.part bus/nkeys.env && rm bus/nkeys.env.part || mv bus/nkeys.env.part bus/nkeys.env

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
# Who forgets events because the log has them checks its signature first.
for service in gateway identity rbac; do
  keep "$service/audit-public-key" openssl pkey -in audit/signing-key -pubout
done
# For whom the gateway passes a request on; used where there is a route file.
keep gateway/assertion-key openssl genpkey -algorithm ed25519

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
