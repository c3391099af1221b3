#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# A fleet that scales in the middle of a release: an Auto Scaling group whose instances boot with Debian's cloud-init and get
# their release by themselves. 2 instances, then 6, then 3. DEMO_KEEP=1 leaves everything running; otherwise all is removed at
# the end, also after a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD demo=hack/demo-fleet
state=$root/.slipway/demo-fleet
logs=$state/logs region=$state/region
export GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0 KUBECONFIG=$state/standalone/kubeconfig

begin=$SECONDS part="" part_start=0 times=()
step() { # step WORDS: closes the part before and opens one
  closed
  part=$1 part_start=$SECONDS
  printf '\n\033[1m== %s\033[0m  (%d s since the start)\n' "$part" $((SECONDS - begin))
}
closed() { [ -z "$part" ] || times+=("$(printf '%4d s  %s' $((SECONDS - part_start)) "$part")"); part=""; }
tell() { echo "   $*"; }
where="logs are in $logs and $state/standalone/logs; what an instance printed is in $region/instances/ID/console"
fail() { echo >&2; echo "demo-fleet: $*" >&2; echo "demo-fleet: $where." >&2; failed=said; exit 1; }

ended() {
  local status=$?
  trap - EXIT INT TERM
  for pid in ${jobs_pids:-}; do kill -TERM -- "$pid" 2>/dev/null || true; done
  if [ "$status" != 0 ] && [ -z "${failed:-}" ]; then
    echo "demo-fleet: stopped in the part '${part:-start}' (exit $status); $where." >&2
  fi
  if [ "${DEMO_KEEP:-}" = 1 ] && { [ "$status" = 0 ] || [ -n "${failed:-}" ]; }; then
    echo "Everything is left running; remove it with: make demo-fleet-clean"
  else
    DEMO_KEEP_LOGS=$([ "$status" = 0 ] || echo 1) "$demo/clean.sh"
  fi
  exit "$status"
}

step "Set-up"
hack/setup.sh
running() { # of what a run that was killed left, nothing is: it is removed below
  local name pid
  for name in standalone region; do
    pid=$(cat "$state/$name.pid" 2>/dev/null) && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$state/$name" && return 0
  done
  return 1
}
if running; then
  echo "demo-fleet: it is running already; remove it with: make demo-fleet-clean" >&2
  exit 1
fi
"$demo/clean.sh" >/dev/null
trap ended EXIT
trap 'exit 130' INT TERM
mkdir -p "$logs" "$state/bin"
chmod 700 "$logs" # the Console's one-time link is in them
hack/docker.sh start

step "Control plane, images and the instances' Debian, at the same time"
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
waited() { # waited FILE PROCESS NAME SECONDS: until the process has made its file
  until [ -e "$1" ]; do
    kill -0 "$2" 2>/dev/null || { tail -n 15 "$logs/$3.log" >&2; fail "$3 ended"; }
    [ $((SECONDS - part_start)) -lt "$4" ] || { tail -n 15 "$logs/$3.log" >&2; fail "$3 was not ready in $4 s"; }
    sleep 0.2
  done
}
declare -A pids=()
tell "the first time the control plane is compiled (about 8 minutes on two cores) and a Debian is made for the instances (1 minute);"
tell "from then on they are there"
background control-plane hack/controlplane/build.sh
background slipway make --no-print-directory build
background fleet go build -o "$state/bin/fleet" ./hack/fleet
"$demo/site.sh" "$state/git/site.git" 2>"$logs/site.log" || fail "the site's repository could not be made"
while sleep 15 && kill -0 "${pids[control-plane]}" 2>/dev/null; do
  tell "$(tail -n 1 "$logs/control-plane.log")"
done &
ticker=$!
jobs_pids+=" $ticker"
finished slipway "slipway could not be compiled"
background images env SLIPWAY_BINARY="$root/bin/slipway" hack/images/build.sh slipway busybox
finished fleet "the region could not be compiled"
setsid "$state/bin/fleet" up --dir "$region" --group web --tag Role=site >"$logs/region.log" 2>&1 </dev/null &
region_pid=$!
echo "$region_pid" >"$state/region.pid"
finished images "the images could not be made"
finished control-plane "the control plane could not be compiled"
kill "$ticker" 2>/dev/null || true
jobs_pids=""
waited "$region/environment" "$region_pid" region 300
tell "region ap-northeast-1: done"
assets=$(tail -n 1 "$logs/control-plane.log")
kubectl() { "$assets/kubectl" "$@"; }
fleet() { local command=$1; shift; timeout 300 "$state/bin/fleet" "$command" --dir "$region" "$@"; }

step "slipway standalone and the Service"
mapfile -t environment <"$region/environment"
setsid env "${environment[@]}" bin/slipway standalone --dir "$state/standalone" --controlplane-dir "$assets" --allow-file-sources \
  --advertise-address "$(cat "$region/gateway")" --identity-certificates "$region/certificates" --ec2-queue-url "$(cat "$region/queue")" \
  >"$logs/standalone.log" 2>&1 </dev/null &
standalone=$!
echo "$standalone" >"$state/standalone.pid"
waited "$state/standalone/ready.json" "$standalone" standalone 120
tail -n 4 "$logs/standalone.log" | sed 's/^/   /'
kubectl create secret generic demo-ssh --type=kubernetes.io/ssh-auth --from-file=ssh-privatekey="$region/id" >/dev/null
sed "s#@STATE@#$state#" "$demo/site.yaml" | kubectl apply --server-side -f - | sed 's/^/   /'
until kubectl get configmap site-boot -o 'jsonpath={.data.user-data}' >"$region/user-data" 2>/dev/null && [ -s "$region/user-data" ]; do
  [ $((SECONDS - part_start)) -lt 180 ] || fail "the Service got no user-data: $(kubectl get slsvc site -o 'jsonpath={.status.boot.message}')"
  sleep 0.2
done
tell "user-data for the launch template: $(wc -c <"$region/user-data") bytes, from ConfigMap site-boot"

release() { # release NAME REVISION REASON
  kubectl apply --server-side -f - <<MANIFEST | sed 's/^/   /'
{apiVersion: slipway.dev/v1alpha1, kind: Release, metadata: {name: $1, namespace: default},
 spec: {service: site, revision: $2, reason: "$3"}}
MANIFEST
}
condition() { kubectl get slrel "$1" -o "jsonpath={.status.conditions[?(@.type==\"$2\")].$3}"; }
follow() { # follow NAME: shows each change until it has finished, and demands success
  local deadline=$((SECONDS + 600)) last="" now
  until [ "$(condition "$1" Finished status)" = True ]; do
    now=$(kubectl get slrel "$1" --no-headers -o custom-columns=N:.metadata.name,P:.status.phase,T:.status.targetsUpdated)
    [ "$now" = "$last" ] || tell "$now"
    last=$now
    [ $SECONDS -lt $deadline ] || fail "$1 did not finish in 10 minutes: $(condition "$1" Ready message)"
    sleep 0.3
  done
  [ "$(condition "$1" Succeeded status)" = True ] || fail "Release $1: $(condition "$1" Succeeded message)"
  tell "$(kubectl get slrel "$1" --no-headers)"
}
moved() { # moved NAME: until the rollout has begun to move hosts
  local deadline=$((SECONDS + 300))
  until [ "$(kubectl get slrel "$1" -o 'jsonpath={.status.targets.updated}')" -gt 0 ] 2>/dev/null; do
    [ "$(condition "$1" Finished status)" != True ] || fail "$1 was over before it could be met in the middle"
    [ $SECONDS -lt $deadline ] || fail "$1 moved no host in 5 minutes: $(condition "$1" Ready message)"
    sleep 0.1
  done
}
progress() { kubectl get slrel "$1" -o 'jsonpath={.status.targetsUpdated}'; }
scaled() { # scaled N WHILE: sets the desired capacity
  tell "desired capacity $1, while $2"
  fleet scale "$1" || fail "the group could not be scaled"
}

declare -A completed=()
completes() { # completes REVISION: follows its Release, and keeps when it completed
  follow "site-${1#v}"
  completed[$1]=$(condition "site-${1#v}" Finished lastTransitionTime)
}

step "Release v1, to an instance that is there and one that comes after it"
scaled 1 "no Release has completed yet"
release site-1 v1 "the first release"
completes v1
scaled 2 "nothing is rolled out"
fleet wait 2 || fail "the first two instances did not come into service"

step "An image is made of the second one; then Release v2"
fleet bake "$region/baked" || fail "no image could be made of an instance"
tell "from now on the group launches instances that hold v1 already, which nobody may see any more"
release site-2 v2 "a better handbook"
completes v2

step "Release v3; in the middle of it the group grows to 6, then shrinks to 3"
release site-3 v3 "an even better handbook"
moved site-3
scaled 6 "site-3 has $(progress site-3) of its hosts"
fleet wait 6 || fail "six instances did not come into service"
[ "$(condition site-3 Finished status)" != True ] || fail "site-3 had finished before the group could shrink: nothing was shown"
scaled 3 "site-3 has $(progress site-3) of its hosts; the oldest three end"
completes v3
fleet wait 3 || fail "the group did not come down to three instances"

step "One more, after it: it must serve v3 from its first page on"
scaled 4 "nothing is rolled out"
fleet wait 4 || fail "the fourth instance did not come into service"
until [ "$(kubectl get slsvc site -o 'jsonpath={.status.targets.ready}/{.status.targets.total}')" = 4/4 ]; do
  [ $((SECONDS - part_start)) -lt 120 ] || fail "not every Target became Ready: $(kubectl get sltgt --no-headers)"
  sleep 0.3
done

step "What each instance served, as its web server answered and not as Slipway says"
echo
fleet judge "v1=${completed[v1]}" "v2=${completed[v2]}" "v3=${completed[v3]}" || fail "an instance served what it should not have: see the table"
echo
kubectl get slsvc,slrel,sltgt
closed
printf '\nTimes (%d s in all)\n' $((SECONDS - begin))
printf '  %s\n' "${times[@]}"
if [ "${DEMO_KEEP:-}" = 1 ]; then
  cat <<TEXT

How to go on
  export KUBECONFIG=$KUBECONFIG PATH=$assets:$state/bin:\$PATH
  fleet scale --dir $region 5; kubectl get sltgt -w
  less $region/instances/*/console         # what cloud-init said
  kubectl get configmap site-boot -o 'jsonpath={.data.user-data}'
TEXT
else
  printf '\nHow to go on: make demo-fleet DEMO_KEEP=1 leaves all of this running; docs/fleets.md and docs/boot.md tell how it works.\n'
fi
