#!/bin/sh
# NATS reads the passwords of its users from its environment.
set -eu
set -a
. /run/prime-nest/passwords.env
set +a
exec nats-server --config /etc/nats/server.conf
