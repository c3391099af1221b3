#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Ends what the fleet demo started, by its process ids, and removes its state. Images, packages, the instances' Debian and the
# control plane's binaries stay for the next run. DEMO_KEEP_LOGS=1 keeps the logs.
set -euo pipefail
cd "$(dirname "$0")/../.."
state=$PWD/.slipway/demo-fleet
[ -d "$state" ] || exit 0

stop() { # stop NAME WORD: ends the process of NAME.pid; its number may be another process's by now, whose words are others
  local pid
  pid=$(cat "$state/$1.pid" 2>/dev/null || true)
  [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$2" || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  echo "demo-fleet: $1 ($pid) did not stop in 30 s and is killed." >&2
  kill -KILL "$pid" || true
}
stop standalone "$state/standalone"
stop region "$state/region"
# A region that was killed takes its instances with it, and leaves their network and cgroups.
if [ -e "$state/region/bridge" ] && ! "$state/bin/fleet" down --dir "$state/region"; then
  echo "demo-fleet: the network device $(cat "$state/region/bridge") could not be removed: remove it with ip link delete." >&2
fi
containers=$(docker ps -aq --filter "label=dev.slipway.owner=$(hostname)@$state/standalone/pods" 2>/dev/null || true)
[ -z "$containers" ] || docker rm -f $containers >/dev/null
if [ "${DEMO_KEEP_LOGS:-}" = 1 ]; then
  rm -rf "$state/git" "$state/bin"
  find "$state/standalone" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} + 2>/dev/null || true
  find "$state/region" -mindepth 1 -maxdepth 1 ! -name events ! -name instances -exec rm -rf {} + 2>/dev/null || true
  echo "demo-fleet: removed all but the logs in $state."
else
  rm -rf "$state"
  echo "demo-fleet: removed all that it made; images and compiled programs stay in the cache."
fi
