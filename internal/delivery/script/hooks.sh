# Hooks: commands of the Service's owner that run around the switch, in the new release's directory.

# left_behind prints the names of the programs that still run in a process group, each once.
left_behind() {
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v group="$1" '{
		name = rest = $0
		sub(/^[^(]*\(/, "", name); sub(/\) [^)]*$/, "", name)
		sub(/.*\) /, "", rest); split(rest, field, " ")
		if (field[3] == group && field[1] != "Z" && name != "timeout" && !(name in seen)) { seen[name] = 1; print name }
	}'
}

# rotate keeps the end of what it reads, in two files and the one that is being filled.
rotate() {
	while dd bs=4096 count=64 of="$w/hook.next" && [ -s "$w/hook.next" ]; do
		mv -f "$w/hook.last" "$w/hook.before"
		mv -f "$w/hook.next" "$w/hook.last"
	done
	cat >/dev/null # the memory is full: the hook goes on all the same
}

# said prints the end of what the hook printed, at most so many bytes.
said() { cat "$w/hook.before" "$w/hook.last" "$w/hook.next" 2>/dev/null | tail -c "$1"; }

# execute ARGV SCRIPT SECONDS runs a hook in $live_new. It reads nothing, holds no lock, and is killed with all it started at
# its limit. A child that it leaves in its process group ends when it has ended; a daemon has a session of its own and
# stays. Neither keeps anybody waiting. What came of it is in $hook_code, $hook_late, $hook_left and what said prints.
execute() {
	hook_limit=$(left)
	[ "$3" -ge "$hook_limit" ] || hook_limit=$3
	mkfifo "$w/hook.pipe" || fail HookFailed "can't make a pipe in $w"
	(rotate) <"$w/hook.pipe" >/dev/null 2>&1 8<&- 9<&- &
	hook_reader=$! hook_began=$(date +%s) # before it begins: on a busy host asking afterwards may take as long as the hook
	if [ -n "$2" ]; then
		printf '%s\n' "$2" >"$w/hook"
		hook_argv="sh${nl}-eu${nl}$w/hook"
	else
		hook_argv=$1
	fi
	(
		cd "$live_new" || exit 126
		exec 8<&- 9<&-
		unset SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION
		SLIPWAY_DIGEST=$v_digest SLIPWAY_COMMIT=$v_commit SLIPWAY_REVISION=$v_revision SLIPWAY_RELEASE=$v_release
		SLIPWAY_SERVICE=$v_service_name SLIPWAY_PREVIOUS_COMMIT=$previous SLIPWAY_PATH=$path SLIPWAY_RELEASE_PATH=$live_new SLIPWAY_BOOT=$v_boot
		export SLIPWAY_DIGEST SLIPWAY_COMMIT SLIPWAY_REVISION SLIPWAY_RELEASE
		export SLIPWAY_SERVICE SLIPWAY_PREVIOUS_COMMIT SLIPWAY_PATH SLIPWAY_RELEASE_PATH SLIPWAY_BOOT
		trap - HUP PIPE TERM INT EXIT
		set --
		while IFS= read -r hook_arg; do set -- "$@" "$hook_arg"; done <<END
$hook_argv
END
		exec setsid timeout -k 2 "$hook_limit" "$@"
	) </dev/null >"$w/hook.pipe" 2>&1 &
	hook_pid=$!
	wait "$hook_pid"
	hook_code=$? hook_late=
	case $hook_code in
	124 | 137 | 143) [ $(($(date +%s) - hook_began)) -lt "$hook_limit" ] || hook_late=1 ;;
	esac
	[ "$hook_code" -eq 0 ] || kill -KILL "-$hook_pid" 2>/dev/null
	hook_wait=0
	while kill -0 "$hook_reader" 2>/dev/null && [ "$hook_wait" -lt 10 ]; do
		sleep 0.05 2>/dev/null || sleep 1
		hook_wait=$((hook_wait + 1))
	done
	rm -f "$w/hook.pipe"
	# No "--": the shells do not agree on it before a process group.
	hook_left=$(left_behind "$hook_pid" | head -n 5 | tr '\n' ' ')
	kill -KILL "-$hook_pid" 2>/dev/null
}

# scrap removes what execute left.
scrap() { rm -f "$w/hook" "$w/hook.before" "$w/hook.last" "$w/hook.next"; }

# ending says in words how a hook ended.
ending() {
	if [ -n "$hook_late" ]; then
		echo "the hook did not end within ${hook_limit}s and was killed"
	else
		echo "the hook ended with exit code $hook_code"
	fi
}

# run_hook STEP ARGV SCRIPT SECONDS runs a hook of this host, and fails if the hook does.
run_hook() {
	[ -n "$2$3" ] || return 0
	still_leading
	begin "$1"
	execute "$2" "$3" "$4"
	hook_said=$(said 600 | tail -n 5)
	scrap
	[ "$hook_code" -eq 0 ] || fail HookFailed "$(ending)${hook_said:+: $hook_said}"
	[ -z "$hook_left" ] || hook_said="ended what the hook left running (${hook_left% }): what is to stay belongs to the host's service manager${hook_said:+: $hook_said}"
	[ -z "$hook_said" ] || note "$hook_said"
}
