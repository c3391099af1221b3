#!/bin/sh
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Builds the local images of tests and demo from Debian's packages; no image registry is needed.
#
#   hack/images/build.sh [slipway|php|node|busybox]…     (all, without a name)
#
# SLIPWAY_BINARY names a static binary for slipway:dev; without it, this tree's is built.
# An image carries a hash of its inputs and is left alone while that is the same.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
suite=${SLIPWAY_DEBIAN_SUITE:-bookworm}
label=dev.slipway.inputs
export DOCKER_BUILDKIT=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { echo "images: $*" >&2; }

# fresh IMAGE HASH: the image is there and was made of the same inputs.
fresh() {
	[ "$(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null)" = "$2" ]
}

hash() { printf '%s\n' "$@" | sha256sum | cut -c1-16; }

need_mmdebstrap() {
	command -v mmdebstrap >/dev/null && return 0
	say "installing mmdebstrap with apt-get …"
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends mmdebstrap; } >&2
}

# base IMAGE PACKAGES: a minimal Debian with these packages. One build at a time per image.
base() {
	image=$1 packages=$2
	want=$(hash base-1 "$suite" "$packages")
	lock=/var/tmp/slipway-image-$(hash "$image").lock
	exec 9>"$lock"
	flock 9
	if fresh "$image" "$want"; then
		say "$image is there already."
	else
		need_mmdebstrap
		say "making $image of Debian $suite ($packages); about 40 s …"
		mmdebstrap --quiet --variant=minbase --include="$packages" \
			--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
			--dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$work/base.tar"
		docker import --change "LABEL $label=$want" --change 'CMD ["sh"]' "$work/base.tar" "$image" >/dev/null
		rm -f "$work/base.tar"
		say "made $image."
	fi
	exec 9>&-
}

base_id() { docker image inspect --format '{{.Id}}' "$1"; }

# layer IMAGE BASE PACKAGES: Debian's packages on a base.
layer() {
	want=$(hash layer-1 "$(base_id "$2")" "$3")
	if fresh "$1" "$want"; then
		say "$1 is there already."
		return 0
	fi
	say "making $1 ($3); about 25 s …"
	mkdir -p "$work/empty"
	# Containers of the build reach Debian's mirror over the host's network, as mmdebstrap does.
	if ! docker build --quiet --network host --label "$label=$want" --tag "$1" -f - "$work/empty" >"$work/build.log" 2>&1 <<DOCKERFILE
FROM $2
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $3 \
 && rm -rf /var/lib/apt/lists/*
DOCKERFILE
	then
		cat "$work/build.log" >&2
		return 1
	fi
	say "made $1."
}

build_slipway() {
	base slipway/base:dev ca-certificates,git,rsync
	binary=${SLIPWAY_BINARY:-}
	mkdir -p "$work/slipway"
	if [ -z "$binary" ]; then
		say "compiling slipway …"
		binary=$work/slipway/slipway
		(cd "$root" && GOFLAGS="-trimpath -buildvcs=false" CGO_ENABLED=0 go build -o "$binary" .)
	else
		cp "$binary" "$work/slipway/slipway"
	fi
	chmod 0755 "$work/slipway/slipway"
	want=$(hash slipway-1 "$(base_id slipway/base:dev)" "$(sha256sum <"$work/slipway/slipway")")
	if fresh slipway:dev "$want"; then
		say "slipway:dev is there already."
		return 0
	fi
	docker build --quiet --label "$label=$want" --tag slipway:dev -f - "$work/slipway" >/dev/null <<DOCKERFILE
FROM slipway/base:dev
COPY slipway /usr/local/bin/slipway
ENTRYPOINT ["/usr/local/bin/slipway"]
DOCKERFILE
	say "made slipway:dev."
}

build_php() {
	base slipway/base:dev ca-certificates,git,rsync
	layer slipway/php:8.2 slipway/base:dev "php-cli php-xml php-mbstring php-curl composer unzip"
}

build_node() {
	base slipway/base:dev ca-certificates,git,rsync
	layer slipway/node:18 slipway/base:dev "nodejs npm"
}

# Static busybox from the host's package: no debootstrap, so that a test has its image in seconds.
build_busybox() {
	if ! command -v busybox >/dev/null || ldd "$(command -v busybox)" >/dev/null 2>&1; then
		say "installing busybox-static with apt-get …"
		{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends busybox-static; } >&2
	fi
	want=$(hash busybox-1 "$(sha256sum <"$(command -v busybox)")")
	if fresh slipway/busybox:test "$want"; then
		say "slipway/busybox:test is there already."
		return 0
	fi
	tree=$work/busybox
	mkdir -p "$tree/bin" "$tree/etc" "$tree/tmp" "$tree/root"
	chmod 1777 "$tree/tmp"
	cp "$(command -v busybox)" "$tree/bin/busybox"
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
	echo 'root:x:0:' >"$tree/etc/group"
	tar -C "$tree" --owner=0 --group=0 --numeric-owner -c . |
		docker import --change "LABEL $label=$want" --change 'ENV PATH=/bin' --change 'CMD ["sh"]' \
			- slipway/busybox:test >/dev/null
	say "made slipway/busybox:test."
}

"$here/../docker.sh" start

[ $# -gt 0 ] || set -- busybox slipway php node
for name in "$@"; do
	case $name in
	slipway | php | node | busybox) "build_$name" ;;
	*)
		say "there is no image '$name'; there are slipway, php, node and busybox."
		exit 2
		;;
	esac
done
