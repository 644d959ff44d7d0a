#!/bin/sh
# NATS reads the public keys of its users from its environment.
set -eu
set -a
. /run/prime-nest/nkeys.env
set +a
exec nats-server --config /etc/nats/server.conf
