#!/bin/sh
# Installs what pip and npm cannot: `install-tools.sh run` what building and running needs,
# `install-tools.sh test` what the tests need on top, `install-tools.sh bench` what
# the peers of the benchmarks are, `install-tools.sh deploy` what builds and runs images.
# Quick and silent when all is there.
# PYTHON names the interpreter that the virtual environment is made from.
set -eu

purpose=${1:?usage: install-tools.sh run|test|bench|deploy}
python=${PYTHON:-python3}
missing=

have() {
    command -v "$1" >/dev/null 2>&1
}

# need PACKAGE COMMAND...: the package is missing unless one of the commands is there.
need() {
    package=$1
    shift
    for command in "$@"; do
        if have "$command"; then return; fi
    done
    missing="$missing $package"
}

# The engine of CloudFront's functions, in nginx.
need_nginx_module() {
    if [ -e /usr/lib/nginx/modules/ngx_http_js_module.so ]; then return; fi
    missing="$missing libnginx-mod-http-js"
}

# Debian ships venv and the headers apart from the interpreter.
python_parts() {
    "$python" - <<'END'
import importlib.util, pathlib, sys, sysconfig
name = "python%d.%d" % sys.version_info[:2]
if importlib.util.find_spec("ensurepip") is None:
    print(name + "-venv")
if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
    print(name + "-dev")
END
}

if ! have "$python" || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Python 3.11 or newer is needed; name it: make run PYTHON=/path/to/python3" >&2
    exit 1
fi
for part in $(python_parts); do
    missing="$missing $part"
done
need gcc gcc cc
need npm npm
if [ "$purpose" = test ]; then  # the tests call these by name
    need redis-server redis-server
    need ffmpeg ffmpeg
    need chromium chromium
    need njs njs
    need faketime faketime
    need sqlite3 sqlite3
    need nginx nginx
    need wrk wrk
    need_nginx_module
    need prometheus promtool
elif [ "$purpose" = bench ]; then
    need nginx nginx
    need_nginx_module
    need varnish varnishd
    need wrk wrk
elif [ "$purpose" = deploy ]; then
    need buildah buildah
    need podman podman
    need runc runc
    need netavark /usr/lib/podman/netavark
    need aardvark-dns /usr/lib/podman/aardvark-dns
    need catatonit catatonit
    need iptables iptables
    need mmdebstrap mmdebstrap
else
    need redis-server redis-server valkey-server
fi

if [ -z "$missing" ]; then exit 0; fi

install="apt-get install --yes --no-install-recommends$missing"
if ! have apt-get; then
    echo "Missing:$missing. Install them with this system's package manager." >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Missing:$missing. Install with:" >&2
    echo "    sudo apt-get update && sudo $install" >&2
    exit 1
fi

echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
# Debian starts a redis server of its own right after installing it; nothing here uses that one.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
apt-get update --quiet --quiet
$install --quiet --quiet </dev/null >/dev/null
