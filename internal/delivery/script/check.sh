# The command of a health check or of a load balancer, or a script instead of it: it runs in the live release's directory, reads nothing, and is killed with all it
# started at its limit. The first 4 KiB that it prints are kept.
work
if [ -n "${v_script-}" ]; then
	printf '%s\n' "$v_script" >"$w/script"
	v_command="sh${nl}-eu${nl}$w/script"
fi
mkfifo "$w/pipe" || fail DeliveryFailed "can't make a pipe in $w"
(head -c 4096 >"$w/out" && cat >/dev/null) <"$w/pipe" >/dev/null 2>&1 &
reader=$!
began=$(date +%s) # before it begins: on a busy host asking afterwards may take as long as the command
(
	cd "$v_dir" 2>/dev/null || cd / || exit 126
	unset SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION
	trap - HUP PIPE TERM INT EXIT
	set --
	while IFS= read -r arg; do set -- "$@" "$arg"; done <<END
$v_command
END
	exec setsid timeout -k 1 "$v_limit" "$@"
) </dev/null >"$w/pipe" 2>&1 &
pid=$!
wait "$pid"
code=$?
late=false
case $code in
124 | 137 | 143) [ $(($(date +%s) - began)) -lt "$v_limit" ] || late=true ;;
esac
kill -KILL "-$pid" 2>/dev/null # what it left running in its process group
waited=0
while kill -0 "$reader" 2>/dev/null && [ "$waited" -lt 10 ]; do # a daemon of its own may hold the pipe for ever
	sleep 0.05 2>/dev/null || sleep 1
	waited=$((waited + 1))
done
kill "$reader" 2>/dev/null
say "{\"exit\":{\"code\":$code,\"late\":$late,\"said\":\"$(quoted "$(head -c 600 "$w/out" 2>/dev/null)")\"}}"
