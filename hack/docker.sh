#!/bin/sh
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Makes sure that a Docker Engine answers. One that runs already is used; otherwise Debian's docker.io is installed
# and dockerd started by hand. "docker.sh stop" ends only the engine that this script started.
set -eu

state=${SLIPWAY_DOCKER_STATE:-/var/tmp/slipway-docker}
pidfile=$state/dockerd.pid
log=$state/dockerd.log

say() { echo "docker: $*" >&2; }

answers() { docker version --format '{{.Server.Version}}' 2>/dev/null; }

# alive PIDFILE NAME: the process still runs under that name. Numbers are used again after a restart of the machine, and
# one that ended unreaped (a zombie) is no more.
alive() {
	[ -s "$1" ] || return 1
	pid=$(cat "$1")
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$2" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null
}

ours() { alive "$pidfile" dockerd; }

# forget removes the pid files of an engine that was killed: dockerd would take them for one that still runs.
forget() {
	alive "$state/engine.pid" dockerd || rm -f "$state/engine.pid"
	alive /run/docker/containerd/containerd.pid containerd || rm -f /run/docker/containerd/containerd.pid
}

stop() {
	if ! ours; then
		say "no engine was started by this script; nothing to stop."
		rm -f "$pidfile"
		return 0
	fi
	kill -TERM "$pid"
	n=0
	while kill -0 "$pid" 2>/dev/null; do
		n=$((n + 1))
		if [ "$n" -gt 300 ]; then
			say "dockerd ($pid) did not stop within 30 s; see $log."
			return 1
		fi
		sleep 0.1
	done
	rm -f "$pidfile"
	say "stopped the engine that this script had started."
}

start() {
	if command -v docker >/dev/null && version=$(answers); then
		say "an engine answers already (version $version)."
		return 0
	fi
	if [ -n "${DOCKER_HOST:-}" ]; then
		say "DOCKER_HOST is $DOCKER_HOST, but no engine answers there; start it or unset DOCKER_HOST."
		return 1
	fi
	if [ "$(id -u)" -ne 0 ]; then
		say "no engine answers and only root can install and start one; run this as root or start Docker yourself."
		return 1
	fi
	if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
		say "installing docker.io with apt-get …"
		mkdir -p "$state"
		# The package's own service start is refused: it has no place where no init system runs.
		if ! { apt-get update && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends \
			docker.io iptables ca-certificates; } >"$state/apt.log" 2>&1; then
			say "apt-get could not install docker.io; see $state/apt.log."
			return 1
		fi
		if version=$(answers); then
			say "the package started its engine (version $version)."
			return 0
		fi
	fi
	mkdir -p "$state"
	sysctl -q -w net.ipv4.ip_forward=1 || say "net.ipv4.ip_forward could not be set; containers may have no network."
	forget
	say "starting dockerd …"
	setsid dockerd --storage-driver overlay2 --exec-opt native.cgroupdriver=cgroupfs --userland-proxy=false \
		--pidfile "$state/engine.pid" >>"$log" 2>&1 </dev/null &
	echo $! >"$pidfile"
	n=0
	until version=$(answers); do
		n=$((n + 1))
		if ! ours && [ "$n" -gt 5 ]; then
			say "dockerd ended at once; the end of $log says why:"
			tail -n 5 "$log" >&2
			rm -f "$pidfile"
			return 1
		fi
		if [ "$n" -gt 300 ]; then
			say "dockerd did not answer within 30 s; see $log."
			return 1
		fi
		sleep 0.1
	done
	say "an engine answers (version $version); 'hack/docker.sh stop' ends it."
}

case "${1:-start}" in
start) start ;;
stop) stop ;;
*)
	say "usage: hack/docker.sh [start|stop]"
	exit 2
	;;
esac
