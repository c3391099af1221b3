#!/bin/sh
# run: bring this host to its releases. wait: for that, two minutes at most.
set -u
d=/usr/local/lib/slipway s=/etc/systemd/system/slipway-boot.service.d k=/etc/slipway/key
if [ "${1-}" = wait ]; then
i=0
until [ -e /run/slipway.done ] || [ $((i += 1)) -gt 120 ]; do sleep 1; done
exit 0
fi
exec >>/var/log/cloud-init-output.log 2>&1
cd /
rm -f /run/slipway.done
w=$(mktemp -d /run/slipway.XXXXXX) || exit
trap 'rm -rf "$w"' EXIT
trap 'exit 1' TERM INT
[ -s $k ] || k=/etc/ssh/ssh_host_ed25519_key
say() { echo "slipway: $*"; }
depot() {
while read -r h p; do
ssh -F none -p "$p" -i $k -o UserKnownHostsFile=$d/known_hosts -o GlobalKnownHostsFile=none -o IdentitiesOnly=yes \
-o StrictHostKeyChecking=yes -o ConnectTimeout=10 -o ServerAliveInterval=15 "boot@$h" "$1" <"$w/in" && return
done <$d/depots
return 1
}
document() {
python3 -c 'from urllib.request import*
o=build_opener(ProxyHandler({})).open
u="http://169.254.169.254/latest/"
h="X-aws-ec2-metadata-token"
t=o(Request(u+"api/token",headers={h+"-ttl-seconds":"60"},method="PUT"),timeout=5).read().decode()
print(o(Request(u+"dynamic/instance-identity/rsa2048",headers={h:t}),timeout=5).read().decode())' 2>/dev/null
}
# deliver ID USER NAME
deliver() {
case $2 in
'' | *[!a-z0-9_-]*) u=0 ;;
*) u=$(id -u "$2") && g=$(id -g "$2") || { again=1 late=1; return; } ;;
esac
[ "$u" -gt 0 ] || { say "$3: not as user $2"; return; }
env -i "PATH=$PATH" LC_ALL=C "HOME=$(eval "echo ~$2")" "USER=$2" setpriv --reuid "$2" --regid "$g" --init-groups \
{{.Command}} <"$w/$1" >"$w/out" 2>&1
o=$(tail -n 1 "$w/out")
say "$3: $o"
case $o in
'{"done":'*) ;;
*'"terminal":true'*) ;;
*'"reason":"FencedOff"'*) [ $n -gt 8 ] || again=1 late=1 ;;
*'"switched":true'*) again=1 ;;
*) again=1 late=1 ;;
esac
mv "$w/out" "$w/in"
depot "report $1" || :
}
n=2
while :; do
again= late=
{ echo "host $(uname -n)"; document; } >"$w/in"
if depot boot >"$w/answer"; then
: >"$w/list"
awk -v w="$w" 'n { print > f; n--; next }
$1 == "units" { $1 = ""; print > (w "/units") }
$1 == "service" && $2 ~ /^[A-Za-z0-9-]+$/ { f = w "/" $2; n = $4; print $2, $3, $5 > (w "/list") }
$1 == "say" { print "slipway:" substr($0, 4) }' "$w/answer"
if [ -d /run/systemd/system ] && u=$(tr -cd 'a-zA-Z0-9:_.@ -' 2>/dev/null <"$w/units") && mkdir -p $s; then
printf '[Unit]\nBefore=%s\n' "$u" >$s/serve.conf
fi
while read -r i o a; do deliver "$i" "$o" "$a" </dev/null; done <"$w/list"
[ "$late" ] || : >/run/slipway.done
[ "$again" ] || exit 0
fi
say "again in $n s"
sleep $n
[ $((n *= 2)) -le 300 ] || n=300
done
