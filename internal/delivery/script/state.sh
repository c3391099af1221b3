# What Slipway keeps on the host:
#   $state/sentinel   whose path this is        $state/switched   what was switched to last
#   $state/fence      the highest fence seen    $state/history    what was delivered well, the newest last
#   $state/manifests/<hex>, $state/stamps/<directory>
#   $state/once/<hook>/ of hooks that run once per Release: began, and when it is over exit and output
# Files of "key value" lines are replaced by a rename, never written in place.

path=$v_path
if [ "$v_layout" = InPlace ]; then
	base=$v_state_dir
else
	base=$path
fi
state=${v_state_dir:-$path}/.slipway
releases=$base/releases

# value prints the value of a key in a file of the state, or nothing.
value() { [ -r "$state/$1" ] && sed -n "s/^$2 //p" "$state/$1" | head -n 1; }

# machine names this machine: state that was copied with a disk image counts for nothing on another.
machine() {
	for machine_file in /sys/class/dmi/id/board_asset_tag /etc/machine-id; do
		machine_id=$(tr -dc 'a-zA-Z0-9-' 2>/dev/null <"$machine_file" | dd bs=64 count=1 2>/dev/null)
		case $machine_file:$machine_id in
		*asset_tag:i-* | /etc/*:?*) echo "$machine_id"; return ;;
		esac
	done
	hostname 2>/dev/null || uname -n
}

# keep replaces a file of the state by stdin, durably, the rename included. What could not be written whole replaces
# nothing. As the end of a pipe it needs "|| exit 1" after it.
keep() {
	if cat >"$state/$1.$$" && { sync "$state/$1.$$" 2>/dev/null || sync; } && mv -f "$state/$1.$$" "$state/$1"; then
		sync -f "$state" 2>/dev/null || sync
	else
		rm -f "$state/$1.$$"
		fail DiskFull "can't write $state/$1: is the disk full?"
	fi
}

# seen_fence prints the fence this machine has seen, and 0 on one whose state was copied.
seen_fence() {
	seen=$(value fence fence)
	[ "$(value fence machine)" = "$(machine)" ] || seen=
	echo "${seen:-0}"
}

# lock opens a directory of the state on a descriptor and locks it. Locking a directory needs no right to write to a
# file that somebody else may have left; what can't be opened is replaced, for the state directory is ours. Two that begin
# at once may both replace it: whoever locked one that is no longer there tries again.
lock() {
	for lock_try in 1 2 3 4 5 6 7 8 9 10; do
		if mkdir -p "$state/$2" && eval "command exec $1<\"\$state/$2\""; then
			until flock -n "$1"; do
				[ "$(date +%s)" -lt "$deadline" ] || fail TimedOut "another delivery has held $state for the whole of deploy.timeout"
				sleep 1
			done
			[ "$(stat -L -c %d:%i "/proc/self/fd/$1")" != "$(stat -c %d:%i "$state/$2")" ] || return 0
		else
			[ "$lock_try" = 1 ] || sleep 1
			rm -rf "${state:?}/$2"
		fi
	done 2>/dev/null
	fail DeliveryFailed "can't make or open $state/$2 to lock it: give $state to $(id -un)"
}

# lock_fence is held for moments only; unlock_fence ends it.
lock_fence() { lock 8 lock.fence; }
unlock_fence() { exec 8<&-; }

# compare_fence ends a delivery that is no longer the last word. Under lock_fence nothing can come between it and what
# follows.
compare_fence() {
	seen=$(seen_fence)
	# A fence without its machine is damaged, not copied: it must not count as none.
	[ ! -e "$state/fence" ] || { [ -n "$(value fence fence)" ] && [ -n "$(value fence machine)" ]; } || seen=damaged
	case $seen in
	*[!0-9]*) fail PathRefused "$state/fence is damaged: write the highest fence of this host's Target into it, or remove it if nothing else delivers here" terminal ;;
	esac
	if [ "$seen" -gt "$v_fence" ]; then
		fail FencedOff "this host has seen fence $seen, higher than this delivery's $v_fence: another controller or a newer order leads it" "$seen"
	elif [ "$v_mode" != once ] && [ "$seen" -eq "$v_fence" ] && [ "$(value fence digest)" != "$v_digest" ]; then
		fail FencedOff "fence $seen was used on this host for another artifact ($(value fence digest)): raise the fence" "$seen"
	fi
}

still_leading() {
	lock_fence
	compare_fence
	unlock_fence
}

# live_name prints the directory's name below releases that is live, or nothing.
live_name() {
	if [ "$v_layout" = InPlace ]; then
		value switched dir
		return
	fi
	live_target=$(readlink "$base/current" 2>/dev/null)
	case $live_target in
	releases/*/* | releases/) ;;
	releases/*) [ -d "$base/$live_target" ] && echo "${live_target#releases/}" ;;
	esac
}

# recorded prints the file that describes what is live: the intent counts once the link has moved.
recorded() {
	recorded_live=$(live_name)
	if [ "$v_layout" != InPlace ] && [ -n "$recorded_live" ] && [ "$(value switching dir)" = "$recorded_live" ] &&
		[ "$(value switching link)" = "$(stat -c %i "$base/current" 2>/dev/null)" ]; then
		echo switching
	else
		echo switched
	fi
}

# held prints the names of complete releases.
held() {
	for held_dir in "$releases"/*; do
		held_name=${held_dir##*/}
		is_release "$held_name" && [ -d "$held_dir" ] && [ ! -h "$held_dir" ] && [ -f "$state/manifests/${held_name%%-*}" ] && echo "$held_name"
	done
}

# is_release says whether a name is that of a release: 64 hex digits, and a number if it is not the first.
is_release() {
	case $1 in *.tmp) return 1 ;; esac
	release_hex=${1%%-*}
	[ ${#release_hex} -eq 64 ] || return 1
	case $release_hex in *[!0-9a-f]*) return 1 ;; esac
	case ${1#"$release_hex"} in '' | -[1-9] | -[1-9][0-9] | -[1-9][0-9][0-9] | -[1-9][0-9][0-9][0-9]) return 0 ;; esac
	return 1
}
