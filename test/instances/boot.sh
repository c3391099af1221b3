#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Becomes one instance: runs as the first process of fresh network, mount, PID, IPC, UTS and cgroup namespaces and hands
# over to systemd. Arguments: the instance's directory, the layers of its image as overlayfs names them, its id. Its
# network is there once descriptor 3 closes; /dev/console is what stdin is.
set -eu
dir=$1 layers=$2 id=$3
mount --make-rprivate /
root=$dir/root
mount -t overlay -o "lowerdir=$layers,upperdir=$dir/disk,workdir=$dir/work" overlay "$root"

mount -t proc proc "$root/proc"
# What the kernel does not keep apart per namespace is the machine's: it can be read and no more.
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
cp /proc/sys/kernel/random/uuid "$dir/boot_id"
mount --bind "$dir/boot_id" "$root/proc/sys/kernel/random/boot_id"

mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
# Firmware says which instance this is, as on EC2 with Nitro. sysfs can't be added to, so /sys/class is laid over; its net
# shows the right namespace's devices only at first hand.
mkdir -p "$dir/firmware/dmi/id"
firmware() { echo "$2" >"$dir/firmware/dmi/id/$1"; }
firmware sys_vendor "Amazon EC2"
firmware board_asset_tag "$id"
uuid=ec2$(cut -c 4- "$dir/uuid")
firmware product_uuid "$uuid"
firmware product_serial "$uuid"
mkdir -p "$dir/devices"
mount --bind "$root/sys/class/net" "$dir/devices"
mount -t overlay -o "ro,lowerdir=$dir/firmware:$root/sys/class" overlay "$root/sys/class"
mount --move "$dir/devices" "$root/sys/class/net"

for place in run:755 tmp:1777 dev:755; do
	mount -t tmpfs -o "mode=${place#*:}" tmpfs "$root/${place%%:*}"
done
mkdir -p "$root/run/host"
echo slipway >"$root/run/host/container-manager" # so that systemd leaves the machine's devices alone
for device in null zero full random urandom tty; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${n%%:*}" "$root/dev/${n#*:}"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
: >"$root/dev/console"
mount --bind "$(readlink /proc/self/fd/0)" "$root/dev/console"

read -r _ <&3 || : # until the network is there
exec 3<&-
cd "$root"
mkdir -p mnt
pivot_root . mnt
umount -l /mnt
exec setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-syslog /lib/systemd/systemd --system --show-status=error
