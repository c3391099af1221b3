#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes an instance's image of a Debian in a directory, its argument.
set -eu
root=$1
# Debian's images for EC2 name their datasource alone too. The network is up before the first process, so there is no DHCP.
cat >"$root/etc/cloud/cloud.cfg.d/90_ec2.cfg" <<'CONFIG'
datasource_list: [Ec2]
network: {config: disabled}
locale: false
CONFIG
rm -f "$root/sbin/dhclient"
# cloud-init must take the instance for a machine: in a container it looks at no firmware.
cat >"$root/usr/bin/systemd-detect-virt" <<'PROGRAM'
#!/bin/sh
case " $* " in *" --container "* | *" -c "*) echo none; exit 1 ;; esac
echo amazon
PROGRAM
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/etc/resolv.conf" # made by cloud-init, and not the machine's
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"

chroot "$root" useradd --uid 3001 --create-home --shell /bin/sh deploy
mkdir -p "$root/etc/ssh/authorized_keys.d"
cat >"$root/etc/ssh/sshd_config.d/instances.conf" <<'CONFIG'
AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u
PasswordAuthentication no
UseDNS no
MaxStartups 100
CONFIG

install -d -o 3001 -g 3001 "$root/var/www/site"
cat >"$root/etc/nginx/sites-available/default" <<'CONFIG'
server {
	listen 80 default_server;
	root /var/www/site/current;
	index index.html;
	add_header Cache-Control no-store;
}
CONFIG

rm -f "$root"/etc/systemd/system/multi-user.target.wants/php*-fpm.service # it starts where a site needs it

# What a small instance has no use for, and what would ask for more than namespaces give.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	console-getty.service getty.target systemd-logind.service systemd-udevd.service systemd-networkd-wait-online.service \
	sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount; do
	ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
