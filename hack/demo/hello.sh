#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
#   hello.sh REPOSITORY     makes a bare git repository of a small Node program with one dependency, tagged v1
set -euo pipefail
repository=$1 here=$(cd "$(dirname "$0")" && pwd)
git -C "$repository" rev-parse -q --verify v1 >/dev/null 2>&1 && exit
export GIT_AUTHOR_NAME=Ops GIT_AUTHOR_EMAIL=ops@example.com GIT_COMMITTER_NAME=Ops GIT_COMMITTER_EMAIL=ops@example.com
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE=2026-01-05T09:00:00Z GIT_COMMITTER_DATE=2026-01-05T09:00:00Z
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/hello/." "$work"
git -c init.defaultBranch=main init -q "$work"
git -C "$work" add -A
git -C "$work" commit -q -m "Say hello"
git -C "$work" tag v1
mkdir -p "$(dirname "$repository")"
rm -rf "$repository"
git clone -q --bare "$work" "$repository"
echo "hello: v1: $(git -C "$work" rev-parse --short=8 HEAD)" >&2
