#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Generates everything again in a copy of the tree and compares: the tree itself is left as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
generated=(api/v1alpha1/zz_generated.deepcopy.go api/v1alpha1/applyconfiguration config/crd/bases docs/api-reference.md)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -a api go.mod go.sum Makefile hack "$copy/"
mkdir -p "$copy/config/crd" "$copy/docs"
make --no-print-directory -C "$copy" generate manifests api-docs >/dev/null
stale=0
for path in "${generated[@]}"; do
  diff -ru "$path" "$copy/$path" || stale=1
done
if [ "$stale" = 1 ]; then
  echo "verify-generated: generated files are stale: run 'make generate manifests api-docs' and commit the result." >&2
  exit 1
fi
echo "verify-generated: all generated files are fresh."
