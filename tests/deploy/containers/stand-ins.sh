#!/usr/bin/env bash
# Makes images that stand in for the official ones where no image registry can be reached: Debian by debootstrap, Node
# from the lock file, PostgreSQL and Redis from Debian's packages, NATS built from its Go module (else Debian's older
# one). Prints the variables that make the Dockerfile and the compose file use them. For checks only; never publish one.
#
#   eval "$(tests/deploy/containers/stand-ins.sh)"
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
docker=${DOCKER:-docker}
name=prime-nest-stand-in
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
have() { "$docker" image inspect "$1" >/dev/null 2>&1; }
build() { "$docker" build --quiet --network host -t "$1" "$2" >&2; }
say() { echo "stand-in: $*" >&2; }

if ! have $name/debian; then
  say 'Debian (debootstrap)'
  debootstrap --variant=minbase bookworm "$work/debian" >"$work/debootstrap.log" 2>&1 || { tail -5 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$work"/debian/var/cache/apt/archives/*.deb "$work"/debian/var/lib/apt/lists/* "$work"/debian/usr/share/{doc,man,locale,info}/*
  tar -C "$work/debian" -c . | "$docker" import - $name/debian >&2
fi

if ! have $name/node; then
  say 'Node of the lock file'
  mkdir "$work/node"
  cp "$root"/node_modules/node-linux-*/bin/node "$work/node/node"
  (cd "$work/node" && npm pack --silent npm@11 >/dev/null && mv npm-*.tgz npm.tgz)
  # Whoever sits between this machine and the registries is trusted in these images as it is here.
  cp /etc/ssl/certs/ca-certificates.crt "$work/node/"
  cat >"$work/node/Dockerfile" <<DOCKERFILE
FROM $name/debian
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY node /usr/local/bin/node
COPY npm.tgz /tmp/npm.tgz
RUN mkdir -p /usr/local/lib/node_modules/npm && tar -xzf /tmp/npm.tgz --strip-components=1 -C /usr/local/lib/node_modules/npm \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && rm /tmp/npm.tgz && chmod +x /usr/local/lib/node_modules/npm/bin/npm-cli.js
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
DOCKERFILE
  build $name/node "$work/node"
fi

if ! have $name/postgres; then
  say 'PostgreSQL'
  mkdir "$work/postgres"
  cp "$(dirname "$0")/postgres-entrypoint.sh" "$work/postgres/docker-entrypoint.sh"
  cat >"$work/postgres/Dockerfile" <<DOCKERFILE
FROM $name/debian
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 openssl gosu >/dev/null
COPY docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN chmod +x /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
DOCKERFILE
  build $name/postgres "$work/postgres"
fi

if ! have $name/redis; then
  say 'Redis'
  mkdir "$work/redis"
  cat >"$work/redis/Dockerfile" <<DOCKERFILE
FROM $name/debian
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server >/dev/null
CMD ["redis-server"]
DOCKERFILE
  build $name/redis "$work/redis"
fi

if ! have $name/nats; then
  mkdir "$work/nats"
  if command -v go >/dev/null && GOBIN="$work/nats" CGO_ENABLED=0 go install "github.com/nats-io/nats-server/v2@${NATS_VERSION:-v2.12.3}" 2>"$work/go.log"; then
    say "NATS ${NATS_VERSION:-v2.12.3} from its module"
    install='COPY nats-server /usr/local/bin/nats-server'
  else
    say 'NATS of Debian'
    install='RUN apt-get update -qq \&\& apt-get install -y -qq --no-install-recommends nats-server >/dev/null'
  fi
  cat >"$work/nats/Dockerfile" <<DOCKERFILE
FROM $name/debian
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends wget >/dev/null
${install//\\/}
CMD ["nats-server"]
DOCKERFILE
  build $name/nats "$work/nats"
fi

if ! have $name/jaeger; then
  say 'a receiver of traces in place of Jaeger'
  mkdir "$work/jaeger"
  cp "$(dirname "$0")/trace-receiver.mjs" "$work/jaeger/"
  printf 'FROM %s/node\nCOPY trace-receiver.mjs /trace-receiver.mjs\nUSER 10001\nCMD ["node", "/trace-receiver.mjs"]\n' $name >"$work/jaeger/Dockerfile"
  build $name/jaeger "$work/jaeger"
fi

for image in node postgres nats redis jaeger; do
  echo "export $(echo $image | tr a-z A-Z)_IMAGE=$name/$image"
done
echo "export RUNTIME_IMAGE=$name/debian"
