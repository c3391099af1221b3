#!/usr/bin/env bash
# Prints a directory with etcd, kube-apiserver, kube-controller-manager and kubectl. Nothing else goes to stdout.
#   1. $KUBEBUILDER_ASSETS, if it holds them all;
#   2. what an earlier run left in ${XDG_CACHE_HOME:-~/.cache}/slipway/controlplane;
#   3. else they are compiled from Kubernetes' own Go modules: about 8 minutes on two cores, once.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
programs=(etcd kube-apiserver kube-controller-manager kubectl)

complete() { # complete DIR: it holds every program
  local program
  for program in "${programs[@]}"; do [ -x "$1/$program" ] || return 1; done
}

if [ -n "${KUBEBUILDER_ASSETS:-}" ] && complete "$KUBEBUILDER_ASSETS"; then
  echo "$KUBEBUILDER_ASSETS"
  exit
fi

# The same settings as the rest of the tree: with others nothing of the build cache would be shared.
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0
inputs=$(cd "$here" && { go version; cat main.go go.mod go.sum build.sh; } | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/slipway/controlplane
dir=$cache/$inputs

publish_current() { # the name under which slipway standalone and the tests look
  [ "$(readlink "$cache/current" 2>/dev/null)" = "$inputs" ] && return
  ln -sfn "$inputs" "$cache/.current.$$" && mv -Tf "$cache/.current.$$" "$cache/current"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock -n 9 || { echo "controlplane: waiting for another build to end" >&2; flock 9; }
if complete "$dir"; then
  publish_current
  echo "$dir"
  exit
fi

version=$(sed -n 's#^\s*k8s.io/kubernetes v##p' "$here/go.mod" | head -1)
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  flags+=" -X $package.gitVersion=v$version -X $package.gitMajor=$major -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
done

staging=$(mktemp -d "$cache/.staging.XXXXXX")
start=$SECONDS
echo "controlplane: compiling etcd and Kubernetes $version: this takes about 8 minutes on two cores, once" >&2
(while sleep 15 2>/dev/null; do echo "controlplane: still compiling, $((SECONDS - start)) s" >&2; done) 9>&- >/dev/null &
ticker=$!
trap 'kill "$ticker" 2>/dev/null || true; rm -rf "$staging"' EXIT
(cd "$here" && go build -ldflags "$flags" -o "$staging/controlplane" . >&2) 9>&-
for program in "${programs[@]}"; do ln -s controlplane "$staging/$program"; done
chmod 0755 "$staging"
rm -rf "$dir"
mv -T "$staging" "$dir"
publish_current
echo "controlplane: compiled in $((SECONDS - start)) s: $dir" >&2
echo "$dir"
