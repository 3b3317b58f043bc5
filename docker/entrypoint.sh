#!/bin/sh
# Runs a command with the secrets that lie in files: where X_FILE names a file, its content becomes the variable X.
# So no secret stands in a compose file, in an image, or on a command line.
set -eu
for name in PGPASSWORD MLFLOW_TRACKING_PASSWORD MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY; do
    eval "file=\${${name}_FILE:-}"
    if [ -n "$file" ]; then
        value=$(cat "$file")
        if [ -z "$value" ]; then
            echo "$0: $file is empty, and $name must have a value" >&2
            exit 2
        fi
        export "$name=$value"
        unset "${name}_FILE"
    fi
done
exec "$@"
