#!/bin/sh
# Makes the secrets that compose.yaml reads, at random, in docker/secrets or in the folder that is named. What is there
# already stays as it is.
set -eu
folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"
for name in ray_token postgres_password mlflow_password mlflow_secret_key; do
    if [ ! -s "$folder/$name" ]; then
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$folder/$name"
    fi
done
echo "secrets are in $folder"
