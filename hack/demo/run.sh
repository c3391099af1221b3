#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# The main job on real input: WordPress and a Node program are built in containers and released to three hosts, then an
# upgrade and a way back. DEMO_KEEP=1 leaves everything running; otherwise all is removed at the end, also after a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD demo=hack/demo
state=$root/.slipway/demo
cache=${XDG_CACHE_HOME:-$HOME/.cache}/slipway
logs=$state/logs
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0 KUBECONFIG=$state/standalone/kubeconfig

begin=$SECONDS part="" part_start=0 times=()
step() { # step WORDS: closes the part before and opens one
  closed
  part=$1 part_start=$SECONDS
  printf '\n\033[1m== %s\033[0m  (%d s since the start)\n' "$part" $((SECONDS - begin))
}
closed() { [ -z "$part" ] || times+=("$(printf '%4d s  %s' $((SECONDS - part_start)) "$part")"); part=""; }
tell() { echo "   $*"; }
fail() { echo >&2; echo "demo: $*" >&2; echo "demo: logs are in $logs and $state/standalone/logs." >&2; failed=said; exit 1; }

ended() {
  local status=$?
  trap - EXIT INT TERM
  for pid in ${jobs_pids:-}; do kill -TERM -- "$pid" 2>/dev/null || true; done
  if [ "$status" != 0 ] && [ -z "${failed:-}" ]; then
    echo "demo: stopped in the part '${part:-start}' (exit $status); logs are in $logs and $state/standalone/logs." >&2
  fi
  if [ "${DEMO_KEEP:-}" = 1 ] && { [ "$status" = 0 ] || [ -n "${failed:-}" ]; }; then
    echo "Everything is left running; remove it with: make demo-clean"
  else
    DEMO_KEEP_LOGS=$([ "$status" = 0 ] || echo 1) "$demo/clean.sh"
  fi
  exit "$status"
}

step "Set-up"
hack/setup.sh
if [ -e "$state/standalone/ready.json" ]; then
  echo "demo: a demo is running already; remove it with: make demo-clean" >&2
  exit 1
fi
"$demo/clean.sh" >/dev/null 2>&1
trap ended EXIT
trap 'exit 130' INT TERM
mkdir -p "$logs"
chmod 700 "$logs" # the Console's one-time link is in them

step "Control plane, images and repositories, at the same time"
background() { # background NAME COMMAND…: its log is kept, and its end is told
  local name=$1
  shift
  setsid "$@" >"$logs/$name.log" 2>&1 </dev/null & # a group of its own, so that all of it can be ended
  pids[$name]=$!
  jobs_pids="${jobs_pids:-} -$!"
}
finished() {
  wait "${pids[$1]}" || { tail -n 15 "$logs/$1.log" >&2; fail "$2"; }
  tell "$1: done"
}
declare -A pids=()
tell "the first time the control plane is compiled: about 8 minutes on two cores; from then on it is there"
background control-plane hack/controlplane/build.sh
background slipway make --no-print-directory build
background wordpress "$demo/wordpress.sh" "$state/git/blog.git" "$cache/debian"
"$demo/hello.sh" "$state/git/hello.git" 2>"$logs/hello.log" || fail "the Node program's repository could not be made"
while sleep 15 && kill -0 "${pids[control-plane]}" 2>/dev/null; do
  tell "$(tail -n 1 "$logs/control-plane.log")"
done &
ticker=$!
jobs_pids+=" $ticker"
finished slipway "slipway could not be compiled"
background images env SLIPWAY_BINARY="$root/bin/slipway" hack/images/build.sh slipway php node
finished wordpress "the WordPress repository could not be made"
finished images "the images could not be made"
finished control-plane "the control plane could not be compiled"
kill "$ticker" 2>/dev/null || true
assets=$(tail -n 1 "$logs/control-plane.log")
kubectl() { "$assets/kubectl" "$@"; }
jobs_pids=""

step "slipway standalone and three hosts"
"$demo/hosts.sh" up "$state/hosts" 3
setsid bin/slipway standalone --dir "$state/standalone" --controlplane-dir "$assets" --allow-file-sources \
  --host-ca-bundle /etc/ssl/certs/ca-certificates.crt >"$logs/standalone.log" 2>&1 </dev/null &
standalone=$!
echo "$standalone" >"$state/standalone.pid"
until [ -e "$state/standalone/ready.json" ]; do
  kill -0 "$standalone" 2>/dev/null || { tail -n 15 "$logs/standalone.log" >&2; fail "slipway standalone ended"; }
  [ $((SECONDS - part_start)) -lt 120 ] || { tail -n 15 "$logs/standalone.log" >&2; fail "slipway standalone was not ready in 120 s"; }
  sleep 0.3
done
tail -n 4 "$logs/standalone.log" | sed 's/^/   /'
for n in 1 2 3; do # what the site's people made: it must outlive every release
  shared=$state/hosts/web-$n/srv/shared/blog
  sed "s/@HOST@/web-$n/" "$demo/wp-config.php" >"$shared/wp-config.php"
  mkdir -p "$shared/uploads/2026/01"
  head -c 100000 /dev/urandom >"$shared/uploads/2026/01/photo.jpg"
  chown -R 4711:4711 "$shared"
done
uploads_before=$(cd "$state/hosts" && sha256sum web-*/srv/shared/blog/uploads/2026/01/photo.jpg web-*/srv/shared/blog/wp-config.php)
kubectl create secret generic demo-ssh --type=kubernetes.io/ssh-auth --from-file=ssh-privatekey="$state/hosts/id" >/dev/null
kubectl create configmap demo-hosts --from-file=known_hosts="$state/hosts/known_hosts" >/dev/null

apply_service() {
  sed -e "s#@STATE@#$state#" -e "s#@HOSTS@#$(cat "$state/hosts/hosts.json")#" -e s/@USER@/deploy/ -e s/@PORT@/22/ "$demo/$1.yaml" |
    kubectl apply --server-side -f - | sed 's/^/   /'
}
release() { # release NAME SERVICE REVISION REASON
  kubectl apply --server-side -f - <<MANIFEST | sed 's/^/   /'
{apiVersion: slipway.dev/v1alpha1, kind: Release, metadata: {name: $1, namespace: default},
 spec: {service: $2, revision: $3, reason: "$4"}}
MANIFEST
}
follow() { # follow NAME…: shows each change of phase until all have finished, and demands success
  local deadline=$((SECONDS + 900)) last="" now name unfinished
  while :; do
    now=$(kubectl get slrel "$@" --no-headers -o custom-columns=N:.metadata.name,P:.status.phase,T:.status.targetsUpdated 2>/dev/null |
      awk '{printf "%-9s %-11s %s\n", $1, $2, $3 == "<none>" ? "" : $3}' || true)
    if [ "$now" != "$last" ]; then
      diff <(echo "$last") <(echo "$now") | sed -n 's/^> \(.\)/   \1/p' || true
      last=$now
    fi
    unfinished=0
    for name; do
      [ "$(kubectl get slrel "$name" -o 'jsonpath={.status.conditions[?(@.type=="Finished")].status}')" = True ] || unfinished=1
    done
    [ $unfinished = 1 ] || break
    [ $SECONDS -lt $deadline ] || fail "$* did not finish in 15 minutes"
    sleep 0.5
  done
  kubectl wait --for=condition=Finished --timeout=5s "${@/#/releases.slipway.dev/}" | sed 's/^/   /'
  for name; do
    [ "$(kubectl get slrel "$name" -o 'jsonpath={.status.conditions[?(@.type=="Succeeded")].status}')" = True ] ||
      fail "Release $name: $(kubectl get slrel "$name" -o 'jsonpath={.status.conditions[?(@.type=="Succeeded")].message}')"
  done
}
prove() { # prove TAG: compares each host with git and asks it over HTTP; nothing of Slipway's is used
  local n want got answer
  want=$(git -C "$state/git/blog.git" archive "$1" | tar -xO --wildcards '*/acme-notice.php' | sha256sum | cut -d' ' -f1)
  for n in 1 2 3; do
    got=$(sha256sum <"$state/hosts/web-$n/srv/www/blog/current/wp-content/mu-plugins/acme-notice.php" | cut -d' ' -f1)
    [ "$got" = "$want" ] || fail "web-$n does not have the acme-notice.php of $1"
    git -C "$state/git/blog.git" ls-tree -r -z --name-only "$1" | LC_ALL=C sort -z >"$state/want.list"
    (cd "$state/hosts/web-$n/srv/www/blog/current" && find . -type f -printf '%P\0' | LC_ALL=C sort -z) |
      tr '\0' '\n' | grep -vxF -e build-info.json -e wp-includes/certificates/ca-bundle.crt >"$state/got.list"
    cmp -s <(tr '\0' '\n' <"$state/want.list") "$state/got.list" || fail "web-$n has other files than $1: diff $state/want.list $state/got.list"
    answer=$(curl -fsS --max-time 5 "http://10.211.7.$((10 + n))/blog/current/build-info.json") || fail "web-$n does not answer over HTTP"
    tell "web-$n  http: $answer  files: $(wc -l <"$state/got.list") as in git $1  sha256 ${got:0:12}…"
    [[ $answer == *"\"site\":\"${1#v}\""* ]] || fail "web-$n answers with another version than $1"
  done
}

step "Services blog (PHP) and hello (Node), each with its first Release"
apply_service blog
apply_service hello
release blog-1 blog v1.0.0 "the first release"
release hello-1 hello v1 "the first release"
follow blog-1 hello-1
prove v1.0.0
tell "web-1  http: $(curl -fsS --max-time 5 http://10.211.7.11/hello/current/public/index.html)"

step "Release v1.1.0: upgraded plugins and theme"
release blog-2 blog v1.1.0 "upgrade Akismet"
follow blog-2
prove v1.1.0

step "Release v1.2.0: a deleted file"
release blog-3 blog v1.2.0 "delete Acme Legacy"
follow blog-3
prove v1.2.0

step "Roll back to v1.0.0: a new Release of it, and nothing is built"
builds=$(kubectl get jobs -o name | wc -l)
release blog-4 blog v1.0.0 "v1.2.0 broke the footer"
follow blog-4
[ "$(kubectl get slrel blog-4 -o 'jsonpath={.status.artifact.reused}')" = true ] || fail "the roll back was built anew"
[ "$(kubectl get jobs -o name | wc -l)" -le "$builds" ] || fail "the roll back made a Job"
tell "the artifact of blog-1 was reused"
prove v1.0.0

step "What there is now"
uploads_after=$(cd "$state/hosts" && sha256sum web-*/srv/shared/blog/uploads/2026/01/photo.jpg web-*/srv/shared/blog/wp-config.php)
[ "$uploads_before" = "$uploads_after" ] || fail "uploads or wp-config.php changed on a host"
for n in 1 2 3; do
  link=$(readlink "$state/hosts/web-$n/srv/www/blog/current/wp-content/uploads") || fail "web-$n: uploads is not linked"
  tell "web-$n  uploads and wp-config.php are what they were (linked from $link)"
done
echo
kubectl get slsvc,slrel,sltgt
closed
printf '\nTimes (%d s in all)\n' $((SECONDS - begin))
printf '  %s\n' "${times[@]}"
if [ "${DEMO_KEEP:-}" = 1 ]; then
  cat <<TEXT

How to go on
  export KUBECONFIG=$KUBECONFIG PATH=$assets:\$PATH
  kubectl describe slrel blog-4
  kubectl get sltgt -o wide
  echo broken >> $state/hosts/web-2/srv/www/blog/current/index.php; kubectl get sltgt -w    # drift, repaired
  curl http://10.211.7.12/blog/current/build-info.json
  the Console, the web page: $(cat "$state/standalone/console.link" 2>/dev/null || echo "its link is in $state/standalone/console.link")
TEXT
else
  printf '\nHow to go on: make demo DEMO_KEEP=1 leaves all of this running; docs/quickstart.md brings a site of your own.\n'
fi
