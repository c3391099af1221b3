# SPDX-License-Identifier: Apache-2.0
# Reads the values from stdin: "NAME LINES" and then that many lines each, up to "end 0". Values are data: nothing here
# or later lets a shell read one as code.

set -u
LC_ALL=C
PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
unset CDPATH ENV BASH_ENV
umask 022
trap '' HUP PIPE # a lost connection stops nothing half-way
tab=$(printf '\t')
nl='
'
complete=
while IFS=' ' read -r name lines; do
	case $name in
	end) complete=1; break ;;
	'' | *[!a-z_]*) exit 92 ;;
	esac
	value= i=0
	while [ "$i" -lt "$lines" ]; do
		IFS= read -r line || exit 93
		[ "$i" -eq 0 ] && value=$line || value=$value$nl$line
		i=$((i + 1))
	done
	eval "v_$name=\$value"
done
[ -n "$complete" ] || exit 93
exec </dev/null

deadline=$(($(date +%s) + v_timeout))
step=Start
switched=false

# left prints how many seconds the delivery may still take, at least 1.
left() {
	left_now=$((deadline - $(date +%s)))
	[ "$left_now" -ge 1 ] && echo "$left_now" || echo 1
}

# limited runs a command for as long as the delivery may take. It holds no lock: what outlives the delivery, such as an
# ssh that waits for its agent, must not keep the next one out.
limited() { timeout -k 5 "$(left)" "$@" 8<&- 9<&-; }

# briefly runs a command for at most so many seconds of that.
briefly() {
	briefly_limit=$(left)
	[ "$1" -ge "$briefly_limit" ] || briefly_limit=$1
	shift
	timeout -k 5 "$briefly_limit" "$@" 8<&- 9<&-
}

# quoted prints a value as the inside of a JSON string, one line, without control characters.
quoted() { printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037\177' | sed 's/\\/\\\\/g; s/"/\\"/g'; }

# lines does the same with what it reads, and keeps the lines.
lines() { tr -d '\000-\010\013-\037\177' | sed 's/\\/\\\\/g; s/"/\\"/g; s/'"$tab"'/\\t/g' | awk '{ printf "%s\\n", $0 }'; }

# say prints one line of the report. Nobody may be listening any more: that is no reason to stop.
say() { printf '%s\n' "$1" 2>/dev/null || :; }

# begin names the step that begins.
begin() {
	step=$1
	say "{\"begin\":\"$1\"}"
	[ "$(date +%s)" -lt "$deadline" ] || fail TimedOut "deploy.timeout is over; raise it, or find out what makes this host slow"
}

# note adds a message to the step that runs.
note() { say "{\"note\":\"$(quoted "$1")\"}"; }

# fail ends with a verdict: REASON MESSAGE [terminal|FENCE].
fail() {
	fail_terminal=false fail_fence=0
	case ${3-} in
	terminal) fail_terminal=true ;;
	?*) fail_fence=$3 ;;
	esac
	[ "$(date +%s)" -lt "$deadline" ] || set -- TimedOut "deploy.timeout is over: $2"
	say "{\"fail\":{\"step\":\"$step\",\"reason\":\"$1\",\"message\":\"$(quoted "$2")\",\"switched\":$switched,\"terminal\":$fail_terminal,\"fence\":$fail_fence}}"
	exit 1
}

# work makes a private directory for short-lived files, in memory where the host has such a place.
work() {
	for work_in in "/run/user/$(id -u)" /dev/shm /tmp; do
		[ -d "$work_in" ] && [ -w "$work_in" ] || continue
		for work_old in "$work_in"/slipway.*; do # left by a script that was killed
			[ -O "$work_old" ] && ! kill -0 "$(cat "$work_old/pid" 2>/dev/null || echo $$)" 2>/dev/null && rm -rf "$work_old"
		done
		w=$(umask 077 && mktemp -d "$work_in/slipway.XXXXXX" 2>/dev/null) && break
	done
	[ -n "${w-}" ] || fail DeliveryFailed "no directory for temporary files: /dev/shm and /tmp are not writable for $(id -un)"
	echo $$ >"$w/pid"
	trap 'rm -rf "$w"' EXIT
	trap 'exit 143' TERM INT
}
