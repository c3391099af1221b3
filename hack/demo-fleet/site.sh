#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
#   site.sh REPOSITORY     makes a bare git repository of a small site with the tags v1, v2 and v3
set -euo pipefail
repository=$1
export GIT_AUTHOR_NAME=Ops GIT_AUTHOR_EMAIL=ops@example.com GIT_COMMITTER_NAME=Ops GIT_COMMITTER_EMAIL=ops@example.com
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_DATE=2026-01-05T09:00:00Z GIT_COMMITTER_DATE=2026-01-05T09:00:00Z
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -c init.defaultBranch=main init -q "$work"
mkdir "$work/pages"
for n in $(seq 200); do echo "page $n of the handbook" >"$work/pages/$n.txt"; done
for tag in v1 v2 v3; do
  echo "$tag" >"$work/VERSION"
  [ "$tag" = v3 ] && echo 8 >"$work/warm-up" || echo 1 >"$work/warm-up" # seconds
  git -C "$work" add -A
  git -C "$work" commit -q -m "Publish $tag"
  git -C "$work" tag "$tag"
done
mkdir -p "$(dirname "$repository")"
rm -rf "$repository"
git clone -q --bare "$work" "$repository"
echo "site: v1: $(git -C "$work" rev-parse --short=8 v1), v2: $(git -C "$work" rev-parse --short=8 v2), v3: $(git -C "$work" rev-parse --short=8 v3)" >&2
