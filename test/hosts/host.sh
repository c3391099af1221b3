#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Becomes one host: runs as the first process of fresh network, mount, PID and UTS namespaces. Arguments: the host's
# directory, its name, its address with prefix length, the gateway, and the size of its disk ("" for none of its own).
set -eu
dir=$1 name=$2 address=$3 gateway=$4 disk=$5
mount --make-rprivate /
hostname "$name"
if [ -n "$disk" ]; then
	mount -t tmpfs -o "size=$disk,mode=755" tmpfs "$dir/www"
	chown 3001:3001 "$dir/www"
fi
# /tmp comes last: the host's directory may lie within it.
for pair in passwd:/etc/passwd group:/etc/group shadow:/etc/shadow www:/var/www srv:/srv home:/home run:/run tmp:/tmp; do
	mkdir -p "/var/www" /srv /home
	mount --bind "$dir/${pair%%:*}" "${pair#*:}"
done
[ ! -d /run/host/bin ] || mount --bind /run/host/bin /usr/local/bin
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ip link set lo up
until ip link set eth0 up 2>/dev/null; do sleep 0.05; done
ip address add "$address" dev eth0
ip route add default via "$gateway"
[ ! -x /run/host/serve ] || /run/host/serve serve --listen ":80" --docroot "$(cat /run/host/docroot)" >/run/host/http.log 2>&1 &
# Descriptor 3 closes when whoever made this host is gone: then the host ends too.
(read -r _ || kill -TERM 1) <&3 >/dev/null 2>&1 &
exec 3<&-
exec /usr/sbin/sshd -D -e -f /run/host/sshd_config 2>/run/host/sshd.log
