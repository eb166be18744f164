#!/bin/sh
# The function as it is deployed, and what calls it, in one file beside its key value store.
set -eu
mkdir -p /tmp/js
cat /cloudfront/viewer-request.js /cdn/serve.js >/tmp/js/edge.js
cp /cdn/cloudfront.js /tmp/js/cloudfront
exec nginx -c /cdn/nginx.conf -e stderr
