#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Ends what the demo started, by its process ids, and removes its state. Images, packages and the control plane's
# binaries stay for the next run. DEMO_KEEP_LOGS=1 keeps the logs.
set -euo pipefail
cd "$(dirname "$0")/../.."
state=$PWD/.slipway/demo
[ -d "$state" ] || exit 0

pid=$(cat "$state/standalone.pid" 2>/dev/null || true)
# The number may be another process's by now: only a slipway of this directory is ended.
if [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$state/standalone"; then
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$pid" 2>/dev/null; then
    echo "demo: slipway standalone ($pid) did not stop in 30 s and is killed." >&2
    kill -KILL "$pid" || true
  fi
fi
hack/demo/hosts.sh down "$state/hosts"
if [ "${DEMO_KEEP_LOGS:-}" = 1 ]; then
  find "$state" -mindepth 1 -maxdepth 1 ! -name logs ! -name standalone -exec rm -rf {} +
  find "$state/standalone" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} + 2>/dev/null || true
  echo "demo: removed all but the logs in $state."
else
  rm -rf "$state"
  echo "demo: removed all that it made; images and compiled programs stay in the cache."
fi
