#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
#   hosts.sh up DIR COUNT     hosts web-1 … web-COUNT, each a network namespace with an address, sshd and a web server
#   hosts.sh down DIR         ends what "up" started, by its process ids, and removes the network
#
# DIR/id is the key that user deploy lets in, DIR/known_hosts the hosts' keys, DIR/hosts.json the list for a Service.
# Users, /srv and /run/sshd are each host's own, by mount namespaces: nothing of this machine's is changed.
set -euo pipefail
action=$1 dir=$(realpath -m "$2") count=${3:-0}
name=${SLIPWAY_HOSTS:-demo} net=${SLIPWAY_HOSTS_NET:-10.211.7} # two sets side by side: another name (at most 5 letters) and net
bridge=slipway-$name
say() { echo "hosts: $*" >&2; }

down() {
  local file pid
  for file in "$dir"/*/*.pid; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    # The number may have been given to another process since: only one that works for this directory is ended.
    if [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF "$dir"; then kill "$pid" 2>/dev/null || true; fi
    rm -f "$file"
  done
  local ns
  for ns in $(ip netns list 2>/dev/null | awk -v p="^slipway-$name-" '$1 ~ p {print $1}'); do
    ip netns pids "$ns" 2>/dev/null | xargs -r kill 2>/dev/null || true
    ip netns del "$ns" || true
  done
  if ip link show "$bridge" >/dev/null 2>&1; then ip link del "$bridge"; fi
  for chain in INPUT FORWARD; do iptables -w -D "$chain" -i "$bridge" -j ACCEPT 2>/dev/null || true; done
}

one() { # one NUMBER: makes and starts a host
  local n=$1 host=web-$1 ns=slipway-$name-$1 address=$net.$((10 + $1)) home
  home=$dir/$host
  install -d -m 0755 "$home" "$home/srv" "$home/srv/www" "$home/etc" "$home/run" "$home/home"
  [ -e "$home/etc/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$home/etc/host_key"
  { grep -v '^deploy:' /etc/passwd; echo "deploy:x:4711:4711::/home:/bin/sh"; } >"$home/etc/passwd"
  { grep -v '^deploy:' /etc/group; echo "deploy:x:4711:"; } >"$home/etc/group"
  { grep -v '^deploy:' /etc/shadow || true; echo "deploy:*:19000:0:99999:7:::"; } >"$home/etc/shadow"
  chmod 0600 "$home/etc/shadow"
  install -d -m 0755 -o 4711 -g 4711 "$home/home" "$home/srv/www" "$home/srv/shared" "$home/srv/shared/blog" "$home/srv/shared/blog/uploads"
  install -m 0644 "$dir/id.pub" "$home/etc/authorized_keys"
  cat >"$home/etc/sshd_config" <<CONFIG
ListenAddress $address:22
HostKey $home/etc/host_key
AuthorizedKeysFile $home/etc/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowAgentForwarding yes
PrintMotd no
AllowUsers deploy
CONFIG
  ip netns add "$ns"
  ip link add "sw-$name-$n" type veth peer name eth0 netns "$ns"
  ip link set "sw-$name-$n" master "$bridge" up
  ip -n "$ns" link set lo up
  ip -n "$ns" link set eth0 up
  ip -n "$ns" address add "$address/24" dev eth0
  ip -n "$ns" route add default via "$net.1"
  # The state directory may be one that user deploy cannot enter, so /srv and /home are mounted, not linked.
  setsid ip netns exec "$ns" unshare --mount --propagation private bash -euc '
    home=$1 sshd=$2
    for f in passwd group shadow; do mount --bind "$home/etc/$f" "/etc/$f"; done
    mount --bind "$home/srv" /srv
    mount --bind "$home/home" /home
    mount -t tmpfs -o mode=0755 none /run
    mkdir /run/sshd /run/etc /run/lock /run/user && chmod 1777 /run/lock
    cp "$home/etc/authorized_keys" "$home/etc/host_key" /run/etc/
    sed "s#$home/etc/#/run/etc/#" "$home/etc/sshd_config" >/run/etc/sshd_config
    echo "Subsystem sftp internal-sftp" >>/run/etc/sshd_config
    busybox httpd -f -p 80 -h /srv/www &
    echo $! >"$home/httpd.pid"
    exec "$sshd" -D -e -f /run/etc/sshd_config' "$dir" "$home" "$(PATH=$PATH:/usr/sbin command -v sshd)" >"$home/log" 2>&1 </dev/null 9>&- &
  echo "$!" >"$home/sshd.pid"
  echo "$address $(cut -d' ' -f1,2 "$home/etc/host_key.pub")" >>"$dir/known_hosts"
}

up() {
  mkdir -p "$dir"
  [ -e "$dir/id" ] || ssh-keygen -q -t ed25519 -N '' -C demo -f "$dir/id"
  : >"$dir/known_hosts"
  ip link add "$bridge" type bridge
  ip address add "$net.1/24" dev "$bridge"
  ip link set "$bridge" up
  # Docker's rules refuse what is forwarded; a bridge of our own is let through while it exists.
  for chain in INPUT FORWARD; do iptables -w -I "$chain" -i "$bridge" -j ACCEPT; done
  local n list=
  for ((n = 1; n <= count; n++)); do
    one "$n"
    list+="${list:+, }{name: web-$n, address: $net.$((10 + n))}"
  done
  echo "[$list]" >"$dir/hosts.json"
  for ((n = 1; n <= count; n++)); do
    local tries=0
    until ssh -i "$dir/id" -o IdentitiesOnly=yes -o UserKnownHostsFile="$dir/known_hosts" -o BatchMode=yes -o ConnectTimeout=2 \
      "deploy@$net.$((10 + n))" true 2>>"$dir/ssh.log" </dev/null; do
      tries=$((tries + 1))
      if [ "$tries" -gt 50 ]; then
        say "web-$n does not let user deploy in; see $dir/web-$n/log and $dir/ssh.log."
        return 1
      fi
      sleep 0.2
    done
  done
  say "$count hosts answer over SSH: $net.11 …"
}

case $action in
up) down; up ;;
down) down ;;
*) say "say up or down"; exit 2 ;;
esac
