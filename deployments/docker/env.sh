#!/bin/sh
# Prints the secrets of a new installation and what it starts: `sh env.sh >.env`, once.
set -eu
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='; }
cat <<END
COMPOSE_PROFILES=app,monitoring
STORE_PASSWORD=$(random)
CDN_SECRET=$(random)
SIGNING_KEY=$(random)
GRAFANA_PASSWORD=$(random)
END
