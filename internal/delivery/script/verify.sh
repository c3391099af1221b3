# Comparing a directory with a manifest.

# each_shared runs a function with path, type and source of every shared path.
each_shared() {
	while IFS=$tab read -r shared_path shared_type shared_source; do
		[ -n "$shared_path" ] || continue
		[ -n "$shared_source" ] || shared_source=$base/shared/$shared_path
		"$1" "$shared_path" "$shared_type" "$shared_source"
	done <<END
$v_shared
END
}

shared_line() { printf 's\t%s\n' "$1"; }

# walk DIRECTORY EXPRESSION... runs find in a directory, but does not enter what is shared and lies within it (InPlace):
# that may be large, and is nobody's drift.
walk() {
	walk_in=$1
	shift
	if [ "$v_layout" = InPlace ]; then
		while IFS=$tab read -r walk_path walk_rest; do
			[ -z "$walk_path" ] || set -- -path "./$(printf '%s' "$walk_path" | literally)" -prune -o "$@"
		done <<END
$v_shared
END
	fi
	(cd "$walk_in" 2>/dev/null && limited find . "$@")
}

# literally makes a pattern of a path that is matched as it is.
literally() { sed 's/[][*?\\]/\\&/g'; }

# differences prints the paths in which DIRECTORY differs from MANIFEST, each once. Links of shared paths, and
# directories that only lead to them, are no difference. Returns 1 if the directory can't be read.
differences() {
	each_shared shared_line >"$w/shared"
	walk "$1" -exec stat -c "%f$tab%s$tab%n" {} + >"$w/found" 2>"$w/error" || return 1
	walk "$1" -type f -exec sha256sum {} + >"$w/sums" 2>"$w/error" || return 1
	walk "$1" -type l -exec sh -c 'for p; do printf "%s\t%s\n" "$p" "$(readlink "$p")"; done' sh {} + >"$w/links" || return 1
	awk -F '\t' -v mine="$v_layout" '
	function differ(p) { if (!(p in bad)) { bad[p] = 1; print p } }
	function plain(p) { sub(/^\.\//, "", p); return p }
	part == 0 {
		shared[$2] = 1
		p = $2
		while (sub(/\/[^\/]*$/, "", p)) leads[p] = 1
		next
	}
	part == 1 {
		if (FNR == 1) next
		kind[$5] = $1; size[$5] = $3 ""; sum[$5] = $4 ""
		mode[$5] = ($1 == "d") ? "41ed" : ($1 == "l") ? "a1ff" : ($2 == "0755") ? "81ed" : "81a4"
		next
	}
	part == 2 {
		p = plain($3)
		if (mine == "InPlace" && inside(p)) next
		if (!(p in kind)) {
			if (!((p in shared) && $1 == "a1ff") && !((p in leads) && $1 == "41ed")) differ(p)
			next
		}
		seen[p] = 1
		if ($1 != mode[p] || (kind[p] == "f" && $2 "" != size[p])) differ(p)
		next
	}
	part == 3 {
		line = $0
		if (substr(line, 1, 1) == "\\") {
			line = substr(line, 2)
			gsub(/\\\\/, "\\", line)
		}
		p = plain(substr(line, 67))
		if ((p in kind) && kind[p] == "f") {
			if (substr(line, 1, 64) != sum[p]) differ(p)
			summed[p] = 1
		}
		next
	}
	part == 4 {
		p = plain($1)
		if ((p in kind) && kind[p] == "l" && $2 "" != sum[p]) differ(p)
	}
	function inside(p) {
		do if (p in shared) return 1; while (sub(/\/[^\/]*$/, "", p))
		return 0
	}
	END {
		for (p in kind) if (!(p in seen) || (kind[p] == "f" && !(p in summed))) differ(p)
	}' part=0 "$w/shared" part=1 "$2" part=2 "$w/found" part=3 "$w/sums" part=4 "$w/links"
}

# some prints the first few lines of a file in one line, and how many more there are.
some() {
	sed -n '1,5p' "$1" | tr '\n' ' '
	some_count=$(wc -l <"$1")
	[ "$some_count" -le 5 ] || printf 'and %d more' $((some_count - 5))
}

# verified compares DIRECTORY with the ordered manifest, and remembers how its files looked before that: what changes
# while they are read, or afterwards, does not look the same any more.
verified() {
	snapshot "$1" >"$w/stamp" 2>/dev/null
	differences "$1" "$state/manifests/$hex" >"$w/differences" && [ ! -s "$w/differences" ]
}

# snapshot prints type and mode of all that lies in a directory, and size, ctime and inode of what is no directory. An
# edit that restores size and mtime changes the ctime all the same. A directory's own times say nothing: what is new or
# gone in it shows by itself, and what is shared may come and go.
snapshot() {
	case $(stat -c %.9Z / 2>/dev/null) in
	*.[0-9]*) snapshot_ctime=%.9Z ;;
	*) snapshot_ctime=%Z ;;
	esac
	{
		walk "$1" -type d -exec stat -c '%f %n' {} + && walk "$1" ! -type d -exec stat -c "%f %s $snapshot_ctime %i %n" {} +
	} | sort
}

# live_dir prints the directory that is served.
live_dir() { if [ "$v_layout" = InPlace ]; then echo "$path"; else echo "$releases/$(live_name)"; fi; }

# looks_like says whether what is live looks as it did when a snapshot was taken.
looks_like() { [ -s "$1" ] && [ "$(snapshot "$(live_dir)" 2>/dev/null | sha256sum)" = "$(sha256sum <"$1")" ]; }

# stamp keeps the snapshot of what is live, for the next drift check: that of before it was verified. Removing releases
# that share files with it changes their ctime: then it is verified once more.
stamp() {
	if looks_like "$w/stamp" || verified "$(live_dir)"; then
		keep "stamps/$(live_name)" <"$w/stamp"
	else
		rm -f "$state/stamps/$(live_name)"
		note "the release was changed while it went live: $(some "$w/differences"). That is drift and will be repaired: let hooks write to shared paths only"
	fi
}

# moved_links prints the shared paths of what is live that are no link to where they should lead.
moved_links() { [ "$v_layout" = InPlace ] || each_shared moved_link; }
moved_link() {
	[ "$(readlink "$(live_dir)/$1" 2>/dev/null)" = "$3" ] || echo "$1"
}

# drift prints nothing, or "REASON<tab>MESSAGE" if what is live is not what was delivered.
drift() {
	drift_record=$(recorded)
	drift_dir=$(value "$drift_record" dir)
	[ -n "$drift_dir" ] || return 0
	if [ "$v_layout" != InPlace ] && [ "$(live_name)" != "$drift_dir" ]; then
		printf 'LinkMoved\t%s/current leads to %s instead of releases/%s' "$base" "$(readlink "$base/current" 2>/dev/null || echo nothing)" "$drift_dir"
		return
	fi
	! looks_like "$state/stamps/$drift_dir" || return 0
	if ! differences "$(live_dir)" "$state/manifests/${drift_dir%%-*}" >"$w/drift"; then
		printf 'ContentChanged\t%s can not be read: %s' "$(live_dir)" "$(head -n 1 "$w/error")"
		return
	fi
	{ cat "$w/drift" && moved_links; } | sort -u >"$w/drifted"
	[ ! -s "$w/drifted" ] || printf 'ContentChanged\tchanged on the host in %s: %s' "$(live_dir)" "$(some "$w/drifted")"
}

# report_state prints what the host says of itself as a JSON object. With an argument drift is not looked for.
report_state() {
	report_record=$(recorded)
	report_live=$(live_name)
	printf '{"owner":"%s","service":"%s","fence":%d,' "$(quoted "$(value sentinel owner)")" "$(quoted "$(value sentinel service)")" "$(seen_fence)"
	report_digest=$(value "$report_record" digest)
	if [ "$v_layout" != InPlace ] && [ "$report_live" != "$(value "$report_record" dir)" ]; then
		report_digest=
		is_release "$report_live" && report_digest=sha256:${report_live%%-*}
	fi
	report_fence=$(value "$report_record" fence)
	[ "$(value fence machine)" = "$(machine)" ] || report_fence=0
	printf '"switchedFence":%d,"digest":"%s"' "${report_fence:-0}" "$(quoted "$report_digest")"
	if [ "$report_digest" = "$(value "$report_record" digest)" ] && [ -n "$report_digest" ]; then
		for report_key in commit revision release; do
			printf ',"%s":"%s"' "$report_key" "$(quoted "$(value "$report_record" "$report_key")")"
		done
		report_since=$(value "$report_record" since)
		printf ',"since":%d' "${report_since:-0}"
	fi
	report_drift=$([ -n "${1-}" ] || drift)
	[ -z "$report_drift" ] || printf ',"drift":{"reason":"%s","message":"%s"}' "${report_drift%%"$tab"*}" "$(quoted "${report_drift#*"$tab"}")"
	printf ',"held":['
	report_comma=
	for report_hex in $(held | sed 's/-.*//' | sort -u); do
		printf '%s"sha256:%s"' "$report_comma" "$report_hex"
		report_comma=,
	done
	printf ']}'
}
