#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that the demo needs and that are missing; with "test" also those of the tests alone. One
# apt-get update, only when needed.
set -euo pipefail

say() { echo "setup: $*" >&2; }

# program=package; what is looked for is the program, so that one from elsewhere is as good.
needed=(
  rsync=rsync sshd=openssh-server ssh=openssh-client ip=iproute2 iptables=iptables sysctl=procps
  dockerd=docker.io docker=docker.io mmdebstrap=mmdebstrap busybox=busybox-static
  git=git make=make curl=curl openssl=openssl flock=util-linux setpriv=util-linux dash=dash
)

[ "${1-}" != test ] || needed+=(ansible-playbook=ansible-core chromium-headless-shell=chromium-headless-shell fc-list=fontconfig npm=npm)

missing=()
for pair in "${needed[@]}"; do
  program=${pair%%=*} package=${pair#*=}
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null && continue
  [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package")
done
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
[ "${1-}" != test ] || [ -e /usr/share/fonts/truetype/vlgothic ] || missing+=(fonts-vlgothic) # for Japanese on pictures of the Console

if ! command -v go >/dev/null; then
  say "Go is not installed: install Go $(sed -n 's/^go //p' "$(dirname "$0")/../go.mod") or newer and run this again."
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  say "this needs root (network namespaces, sshd, Docker): run it again as root, or run 'make test-unit'."
  exit 1
fi
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
  say "there is no apt-get here: install ${missing[*]} by other means and run this again."
  exit 1
fi

log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
install() { apt-get install -y -q --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
say "installing ${missing[*]} …"
start=$SECONDS
if ! install; then
  say "fetching the lists of packages …"
  if ! { apt-get update -q >"$log" 2>&1 && install; }; then
    tail -n 15 "$log" >&2
    say "apt-get could not install ${missing[*]}; its last lines are above, all are in $log."
    exit 1
  fi
fi
rm -f "$log"
say "installed in $((SECONDS - start)) s."
