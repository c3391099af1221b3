#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
#   hack/test.sh all|e2e [go test flags]     runs the tests with every real part; nothing skips itself.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1
shift
KUBEBUILDER_ASSETS=$(hack/controlplane/build.sh)
export KUBEBUILDER_ASSETS SLIPWAY_REQUIRE_ALL=1 SLIPWAY_E2E=1
# Pictures of every page of the Console, for people to look at.
export SLIPWAY_SCREENSHOTS=${SLIPWAY_SCREENSHOTS:-$PWD/bin/screenshots}
case $what in
all) mapfile -t packages < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./... | grep .) ;;
e2e) packages=(./test/e2e/...) ;;
*) echo "test: say all or e2e" >&2; exit 2 ;;
esac

echo "test: ${#packages[@]} packages with tests; each says so when it is done" >&2
start=$SECONDS
result=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Two packages at a time: a control plane each is what two cores carry.
go test -p 2 -timeout 20m "$@" "${packages[@]}" 2>&1 | tee "$log" || result=$?
passed=$(grep -c '^ok ' "$log" || true)
failed=$(grep -cE '^FAIL\s' "$log" || true)
echo "test: $passed packages passed, $failed failed, in $((SECONDS - start)) s" >&2
exit "$result"
