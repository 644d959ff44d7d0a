#!/bin/sh
# First job of the compose file: makes the secrets on first use and hands the other volumes to their users.
set -eu
READER_GROUP=10001 sh /etc/prime-nest/generate.sh /secrets
chown 10001:10001 /own/*
