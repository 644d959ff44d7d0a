#!/bin/sh
# Runs a script with the superuser's password of the compose file.
set -eu
PGPASSWORD=$(cat /run/prime-nest/superuser-password)
export PGPASSWORD
exec sh "$@"
