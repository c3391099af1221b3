#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prints where the script of axe-core is, with which the tests of the Console's pages find what keeps people from using them.
# It is fetched once with npm, and kept in the cache.
set -euo pipefail

version=4.14.1
sum=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5
dir=${XDG_CACHE_HOME:-$HOME/.cache}/slipway/axe-core/$version

if [ ! -e "$dir/axe.min.js" ]; then
  command -v npm >/dev/null || { echo "axe: npm is not installed: run 'make setup' first." >&2; exit 1; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && timeout 120 npm pack --silent "axe-core@$version" >/dev/null) || { echo "axe: npm could not fetch axe-core $version: is the npm registry in reach?" >&2; exit 1; }
  echo "$sum  $work/axe-core-$version.tgz" | sha512sum --quiet --check - >&2 || { echo "axe: axe-core $version is not what it was: it is not used." >&2; exit 1; }
  tar -xzf "$work/axe-core-$version.tgz" -C "$work" package/axe.min.js
  mkdir -p "$dir"
  mv "$work/package/axe.min.js" "$dir/axe.min.js"
fi
echo "$dir/axe.min.js"
