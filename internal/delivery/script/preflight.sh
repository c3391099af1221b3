# Whose path it is, and whether it is safe to work in.

# safe_path refuses a destination that is short, relative, or reached through a symlink.
safe_path() {
	case $1 in
	/*/../* | /*/.. | /*/./* | /*/. | *//* | */ | /../* | /./*) fail PathRefused "$1 may hold no '.', '..' or empty part" terminal ;;
	/*/*) ;;
	*) fail PathRefused "$1 must be absolute and at least two levels deep" terminal ;;
	esac
	safe_at=$1
	while [ -n "$safe_at" ]; do
		[ ! -h "$safe_at" ] || fail PathRefused "$safe_at is a symbolic link: name the directory it leads to ($(readlink "$safe_at")) in deploy.path" terminal
		[ ! -e "$safe_at" ] || [ -d "$safe_at" ] || fail PathRefused "$safe_at is not a directory" terminal
		safe_at=${safe_at%/*}
		if [ -n "$safe_at" ] && [ "$safe_at" != "$1" ] && [ -e "$safe_at/.slipway/sentinel" ]; then
			fail PathRefused "$1 lies within $safe_at, which is delivered to as well" terminal
		fi
	done
}

# own checks the marker. Who owns the path may work in it, and whoever takes over with consent.
own() {
	# Read once: another delivery may write it at this moment.
	own_text=$(cat "$state/sentinel" 2>/dev/null)
	own_owner=$(printf '%s\n' "$own_text" | sed -n 's/^owner //p')
	own_service=$(printf '%s\n' "$own_text" | sed -n 's/^service //p')
	[ -n "$own_service" ] || return 1
	if [ "$own_service" = "$v_service" ] && { [ "$own_owner" = "$v_owner" ] || [ "$own_service" = "$v_adopt_from" ]; }; then return 0; fi
	[ -n "$v_adopt_from" ] && [ "$own_service" = "$v_adopt_from" ] && return 0
	fail ForeignOwner "$path belongs to Service $own_service of installation $own_owner: if that is this Service's former object, name it in spec.adopt.fromUID" terminal
}

sentinel() { printf 'slipway 1\nowner %s\nservice %s\npath %s\n' "$v_owner" "$v_service" "$path" | keep sentinel || exit 1; }

# foreign prints what lies in the destination that is not ours.
foreign() {
	for foreign_entry in "$path"/* "$path"/.[!.]* "$path"/..?*; do
		[ -e "$foreign_entry" ] || [ -h "$foreign_entry" ] || continue
		case ${foreign_entry##*/} in
		.slipway | lost+found) continue ;;
		shared) [ "$v_layout" = InPlace ] || continue ;;
		releases) [ "$v_layout" = InPlace ] || [ -n "$(ls -A "$foreign_entry" 2>/dev/null)" ] || continue ;;
		esac
		printf '%s\n' "${foreign_entry##*/}"
	done
}

# claim makes the path ours: it is empty, or its owner consented. Somebody else may claim it at the same time: the marker
# is looked for again under the lock.
claim() {
	mkdir -p "$path" 2>/dev/null || fail PathRefused "can't make $path: make it and give it to $(id -un)"
	claim_inner=$(find "$path" -mindepth 2 -maxdepth 5 -name .slipway -type d 2>/dev/null | head -n 1)
	[ -z "$claim_inner" ] || fail PathRefused "$path holds ${claim_inner%/.slipway}, which is delivered to as well" terminal
	foreign >"$w/foreign"
	if [ -s "$w/foreign" ] && [ "$v_adopt" != 1 ] && ! own; then
		fail ExistingContent "$path holds files that Slipway did not put there: $(some "$w/foreign"). To take it over set deploy.adopt.existing: the files stay as $releases/pre-slipway" terminal
	fi
	(umask 077 && mkdir -p "$state") 2>/dev/null || fail PathRefused "can't write in ${state%/*}: give it to $(id -un)"
	mkdir -p "$state/manifests" "$state/stamps" || fail DiskFull "can't write in $state"
	lock_fence
	if ! own; then
		# What was there is remembered before the marker makes the path ours.
		[ ! -s "$w/foreign" ] || keep adopting <"$w/foreign" || exit 1
		sentinel
	fi
	unlock_fence
}

# enter looks whether the path is ours to work in, and makes it so if it is nobody's.
enter() {
	begin Fence
	[ "$(id -u)" -ne 0 ] || [ "$v_user" = root ] || fail LoginRefused "$v_user is uid 0 on this host: deliver as an unprivileged user that owns $path" terminal
	safe_path "$path"
	[ -z "$v_state_dir" ] || safe_path "$v_state_dir"
	[ ! -h "$state" ] || fail PathRefused "$state is a symbolic link" terminal
	for fence_tool in flock rsync ssh sha256sum stat find awk timeout setsid mktemp readlink; do
		command -v $fence_tool >/dev/null 2>&1 || fail PathRefused "the host has no $fence_tool: install it (rsync, openssh-client, coreutils, findutils, util-linux)"
	done
	if [ -d "$state" ] && { [ ! -w "$state" ] || [ ! -x "$state" ]; }; then
		fail PathRefused "$state is not writable for $(id -un): give $base to that user"
	fi
	own || claim
}

# fence is the first step: it proves leadership before anything is touched.
fence() {
	enter
	lock_fence
	compare_fence
	own && [ "$own_service/$own_owner" = "$v_service/$v_owner" ] || sentinel
	printf 'fence %s\ndigest %s\nmachine %s\n' "$v_fence" "$v_digest" "$(machine)" | keep fence || exit 1
	unlock_fence
}

# web_user_can says whether the web server's user passes through a directory, by its mode.
web_user_can() {
	web_stat=$(stat -c '%a %u %g' "$1") || return 1
	web_mode=${web_stat%% *}
	web_owner=${web_stat#* }
	web_group=${web_owner#* }
	web_owner=${web_owner% *}
	case "00$web_mode" in
	*[1357]) return 0 ;;
	*[1357][0-7]) case " $(id -G "$v_web_user") " in *" $web_group "*) return 0 ;; esac ;;
	esac
	case "00$web_mode" in
	*[1357][0-7][0-7]) [ "$(id -u "$v_web_user")" = "$web_owner" ] && return 0 ;;
	esac
	return 1
}

# labelled refuses, where SELinux enforces, a directory whose label is not the policy's: what is made in it inherits the
# label, and the web server may not be let read it. A label for web content is accepted wherever it lies.
labelled() {
	[ "$(getenforce 2>/dev/null)" = Enforcing ] || return 0
	labelled_is=$(stat -c %C "$1" 2>/dev/null | cut -d : -f 3)
	labelled_due=$(matchpathcon -n "$1" 2>/dev/null | cut -d : -f 3)
	case $labelled_due:$labelled_is in
	: | *: | :* | *:httpd_*content_t | *:public_content*_t | "$labelled_is:$labelled_is") return 0 ;;
	esac
	fail PathRefused "SELinux enforces on this host, and $1 is labelled $labelled_is where the policy wants $labelled_due, so that the web server may not be let read it: as root run restorecon -RF $1, or tell the policy with semanage fcontext -a -t httpd_sys_content_t '$1(/.*)?' first"
}

preflight() {
	begin Preflight
	mkdir -p "$releases" "$state/manifests" "$state/stamps" || fail DiskFull "can't make $releases: is the disk full, or is $base not writable?"
	for preflight_dir in "$base" "$releases"; do
		[ ! -h "$preflight_dir" ] || fail PathRefused "$preflight_dir is a symbolic link" terminal
		[ -w "$preflight_dir" ] || fail PathRefused "$preflight_dir is not writable for $(id -un)"
	done
	if [ -n "$v_web_user" ]; then
		id -u "$v_web_user" >/dev/null 2>&1 || fail PathRefused "deploy.webUser $v_web_user does not exist on this host" terminal
		preflight_dir=$releases
		while [ -n "$preflight_dir" ]; do
			web_user_can "$preflight_dir" || fail PathRefused "$v_web_user, the web server's user, may not enter $preflight_dir: chmod o+x it"
			preflight_dir=${preflight_dir%/*}
		done
	fi
	if [ "$v_layout" = InPlace ]; then labelled "$path"; else labelled "$releases"; fi
	find "$state" -maxdepth 1 -type f -name '*.[0-9]*' -mtime +0 -exec rm -f {} + # left by scripts that were killed
	for preflight_dir in "$releases"/*.tmp; do
		[ -e "$preflight_dir" ] || continue
		[ "${preflight_dir##*/}" = "${v_digest#sha256:}.tmp" ] || { chmod -R u+w "$preflight_dir" && rm -rf "$preflight_dir"; } 2>/dev/null
	done
}

# room checks that what has to be written fits: MANIFEST and, if files are shared with it, the manifest of what runs.
room() {
	room_need=$(awk -F '\t' 'FNR == 1 { part++; next }
		part == 1 && known { have[$0] = 1; next }
		!($0 in have) { n++; if ($1 == "f") b += int($3 / 4096) * 4 + 4 }
		END { printf "%d %d", b + n / 4 + 1024, n + 16 }' known="${2:+1}" ${2:+"$2"} "$1")
	room_kib=${room_need% *} room_inodes=${room_need#* }
	room_free=$(df -Pk "$releases" | awk 'END { print $4 }')
	[ "$room_free" -ge "$room_kib" ] || fail DiskFull "the release needs $room_kib KiB, $releases has $room_free KiB free: free some space or lower deploy.keepReleases"
	room_free=$(df -Pi "$releases" 2>/dev/null | awk 'END { if ($2 > 0) print $4 }')
	case $room_free in
	'' | *[!0-9]*) ;;
	*) [ "$room_free" -ge "$room_inodes" ] || fail DiskFull "the release needs $room_inodes inodes, $releases has $room_free free" ;;
	esac
}
