#!/bin/sh
# Prints a folder of deploy/secrets/generate.sh as Secret objects, one per reader: prime-nest-<reader>.
#
#   deploy/secrets/kubernetes.sh FOLDER | kubectl -n NAMESPACE apply -f -
#
# The authority's key stays here: nothing in the cluster may sign certificates with it.
set -eu
cd "${1:?usage: kubernetes.sh FOLDER}"
for reader in */; do
  reader=${reader%/}
  [ "$reader" != authority ] || continue
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: prime-nest-%s\n  labels: { app.kubernetes.io/part-of: prime-nest }\ntype: Opaque\ndata:\n' "$reader"
  for file in "$reader"/*; do
    printf '  %s: %s\n' "$(basename "$file")" "$(base64 <"$file" | tr -d '\n')"
  done
done
