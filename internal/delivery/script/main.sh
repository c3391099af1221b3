# The page to read first: the things this script does.

probe() {
	work
	say "{\"state\":$(report_state)}"
}

deliver() {
	work
	hex=${v_digest#sha256:}
	fence
	preflight_locked
	stage
	if [ "$v_only" = stage ]; then
		say "{\"done\":{\"digest\":\"$v_digest\",\"fence\":$v_fence},\"state\":$(report_state undrifted)}"
		return
	fi
	if ! is_live; then
		untouched
		switch
	elif [ "$(value switched finished)" = 1 ]; then
		switched=true
		relink
	else # switched, but what comes after was cut off
		switched=true
		untouched
		relink
		live_new=$(live_dir) previous=$(value switched previous)
		run_hook AfterSwitch "$v_after" "$v_after_script" "$v_after_timeout"
	fi
	finish
	prune
	begin Stamp
	stamp
	say "{\"done\":{\"digest\":\"$v_digest\",\"fence\":$v_fence},\"state\":$(report_state undrifted)}"
}

# stage has the release complete on the host, as releases/$name. Nothing serves it by that.
stage() {
	if choose; then
		forget
	else
		untouched
		pull
		still_leading
		mv "$new" "$releases/$name" || fail DeliveryFailed "can't rename $new"
	fi
}

# untouched ends a delivery that was to find the release live and well, and finds that it would have to switch: there may be
# no room for that among the hosts now.
untouched() { [ -z "$v_as_is" ] || fail ContentChanged "it was changed on the host since it was looked at last; nothing was switched"; }

# once runs a hook that runs once per Release, on this host, and reports how that went the first time: whoever asks again is
# told the same. The claim is written before the hook begins; one without an end is a hook of which nobody knows.
once() {
	work
	hex=${v_digest#sha256:}
	enter
	preflight_locked
	once_dir=$state/once/$v_once
	if [ -d "$once_dir" ]; then
		report_once
		return
	fi
	mkdir -p "$state/once" || fail DiskFull "can't write in $state"
	find "$state/once" -mindepth 1 -maxdepth 1 -mtime +90 -exec rm -rf {} +
	if [ "$v_may" != 1 ]; then # whoever still waits for the lock may not begin either
		mkdir "$once_dir" && echo canceled | keep "once/$v_once/exit" || exit 1
		report_once
		return
	fi
	stage
	[ "$v_layout" = InPlace ] || each_shared link_shared
	still_leading
	begin Claim
	mkdir "$once_dir" || fail DiskFull "can't write in $state/once"
	date +%s | keep "once/$v_once/began" || exit 1
	sync -f "$state/once" 2>/dev/null || sync
	step=$v_once_step
	say "{\"begin\":\"$step\"}"
	live_new=$releases/$name previous=$v_previous_commit
	execute "$v_hook" "$v_hook_script" "$v_hook_timeout"
	said 65536 >"$once_dir/output"
	scrap
	printf '%s %s\n' "$hook_code" "${hook_late:+late}" | keep "once/$v_once/exit" || exit 1
	report_once
}

# report_once prints how the hook ended, as its record says. The lock is held: nobody runs it now.
report_once() {
	once_exit=$(cat "$once_dir/exit" 2>/dev/null)
	once_code=${once_exit%% *} once_late=false once_state=ended
	case $once_exit in
	canceled) once_code=0 once_state=canceled ;;
	*' late') once_late=true ;;
	'') once_code=0 once_state=unknown ;;
	esac
	once_said=$(tail -c 4096 "$once_dir/output" 2>/dev/null | lines)
	say "{\"exit\":{\"state\":\"$once_state\",\"code\":$once_code,\"late\":$once_late,\"said\":\"$once_said\"}}"
}

# is_live says whether the chosen release is what is served.
is_live() {
	[ "$(live_name)" = "$name" ] && [ "$(value switched dir)" = "$name" ] || return 1
	[ "$v_layout" != InPlace ] || verified "$path"
}

# preflight_locked takes the delivery's lock, which is held to the end, and looks whether all is well.
preflight_locked() {
	begin Lock
	lock 9 lock.delivery
	still_leading
	preflight
}

relink() { [ "$v_layout" = InPlace ] || each_shared link_shared; }

switch() {
	live_new=$releases/$name previous=$(value "$(recorded)" commit)
	if [ "$v_layout" = InPlace ]; then
		run_hook BeforeSwitch "$v_before" "$v_before_script" "$v_before_timeout"
		lay
		live_new=$path
	else
		adopt
		each_shared link_shared
		run_hook BeforeSwitch "$v_before" "$v_before_script" "$v_before_timeout"
		verified "$releases/$name" || fail VerifyFailed "beforeSwitch changed files of the release: $(some "$w/differences"). Let it write to shared paths only"
		flip
	fi
	run_hook AfterSwitch "$v_after" "$v_after_script" "$v_after_timeout"
}

case $v_mode in
probe) probe ;;
deliver) deliver ;;
once) once ;;
*) exit 94 ;;
esac
