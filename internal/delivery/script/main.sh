# The page to read first: the two things this script does.

probe() {
	work
	say "{\"state\":$(report_state)}"
}

deliver() {
	work
	hex=${v_digest#sha256:}
	fence
	preflight_locked
	if choose; then
		forget
	else
		pull
		still_leading
		mv "$new" "$releases/$name" || fail DeliveryFailed "can't rename $new"
	fi
	if ! is_live; then
		switch
	elif [ "$(value switched finished)" = 1 ]; then
		switched=true
		relink
	else # switched, but what comes after was cut off
		switched=true
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
*) exit 94 ;;
esac
