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

# run_hook STEP ARGV SCRIPT SECONDS. The hook reads nothing, holds no lock, and is killed with all it started at its
# limit. What it prints is kept up to a bound. A child that it leaves in its process group ends when it has ended, and
# the report says so; a daemon has a session of its own and stays. Neither keeps anybody waiting.
run_hook() {
	[ -n "$2$3" ] || return 0
	still_leading
	begin "$1"
	hook_limit=$(left)
	[ "$4" -ge "$hook_limit" ] || hook_limit=$4
	set -- "$1" "$hook_limit" "$2" "$3"
	mkfifo "$w/hook.pipe" || fail HookFailed "can't make a pipe in $w"
	(dd bs=512 count=32 of="$w/hook.out" && cat >/dev/null) <"$w/hook.pipe" >/dev/null 2>&1 8<&- 9<&- &
	hook_reader=$!
	if [ -n "$4" ]; then
		printf '%s\n' "$4" >"$w/hook"
		hook_argv="sh${nl}-eu${nl}$w/hook"
	else
		hook_argv=$3
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
	hook_began=$(date +%s)
	wait "$hook_pid"
	hook_code=$?
	hook_late=$(($(date +%s) - hook_began >= hook_limit))
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
	hook_said=$(tail -n 5 "$w/hook.out" 2>/dev/null | tail -c 600)
	rm -f "$w/hook.out" "$w/hook"
	if [ "$hook_code" -ne 0 ]; then
		case $hook_late:$hook_code in
		1:124 | 1:137 | 1:143) fail HookFailed "the hook did not end within ${hook_limit}s and was killed${hook_said:+: $hook_said}" ;;
		esac
		fail HookFailed "the hook ended with exit code $hook_code${hook_said:+: $hook_said}"
	fi
	[ -z "$hook_left" ] || hook_said="ended what the hook left running (${hook_left% }): what is to stay belongs to the host's service manager${hook_said:+: $hook_said}"
	[ -z "$hook_said" ] || note "$hook_said"
}
