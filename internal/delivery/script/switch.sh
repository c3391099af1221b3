# Making a release live, and removing old ones.

# choose decides which directory becomes live: one that is here and intact by its content, or a new one. What is live is
# never mended, for requests would see it half done: if a shared link in it leads elsewhere, another takes its place.
choose() {
	begin Verify
	choose_live=$(live_name)
	for name in $choose_live $(held); do
		[ "$name" != "$choose_live" ] || [ -z "$(moved_links)" ] || continue
		if [ "${name%%-*}" = "$hex" ] && is_release "$name" && [ -f "$state/manifests/$hex" ] && verified "$releases/$name"; then
			[ "$(sha256sum <"$state/manifests/$hex" | cut -c 1-64)" = "$hex" ] && return 0
		fi
	done
	name=$hex
	choose_n=0
	while [ -e "$releases/$name" ] || [ -h "$releases/$name" ]; do
		choose_n=$((choose_n + 1))
		name=$hex-$choose_n
	done
	return 1
}

link_shared() {
	link_at=$releases/$name/$1
	if [ "$2" = Dir ] && [ ! -e "$3" ] && [ ! -h "$3" ]; then
		mkdir -p "$3" || fail PathRefused "can't make the shared directory $3: make it and give it to $(id -un)"
	elif [ "$2" = File ]; then
		mkdir -p "${3%/*}" 2>/dev/null
		[ ! -d "$3" ] || fail PathRefused "$3 is a directory, but deploy.shared says it is a file" terminal
	fi
	[ "$2" != Dir ] || [ -d "$3" ] || fail PathRefused "$3 is not a directory, but deploy.shared says it is one" terminal
	[ "$(readlink "$link_at" 2>/dev/null)" != "$3" ] || return 0
	mkdir -p "${link_at%/*}" && rm -f "$link_at" && ln -s "$3" "$link_at" || fail DeliveryFailed "can't link $link_at to $3"
}

# adopt keeps what was here before as releases/pre-slipway; the old paths remain as links into it.
adopt() {
	[ -f "$state/adopting" ] || return 0
	mkdir -p "$releases/pre-slipway"
	while IFS= read -r adopt_name; do
		[ -n "$adopt_name" ] && [ "$adopt_name" != releases ] || continue
		adopt_from=$path/$adopt_name adopt_to=$releases/pre-slipway/$adopt_name
		[ ! -e "$adopt_to" ] && [ ! -h "$adopt_to" ] || continue
		mv "$adopt_from" "$adopt_to" 2>"$w/error" || fail PathRefused "can't keep $adopt_from as $adopt_to: $(head -n 1 "$w/error"). A mount among the files must be named as source of a shared path, and unmounted here"
		[ "$adopt_name" = current ] || ln -s "releases/pre-slipway/$adopt_name" "$adopt_from"
	done <"$state/adopting"
	each_shared adopt_shared
	rm -f "$state/adopting"
}

# adopt_shared lets a shared path of the old tree be found at its new place; nothing is moved.
adopt_shared() {
	[ "$3" = "$base/shared/$1" ] && [ ! -e "$3" ] && [ ! -h "$3" ] && [ -e "$releases/pre-slipway/$1" ] || return 0
	mkdir -p "${3%/*}" && ln -s "$releases/pre-slipway/$1" "$3"
}

# intent describes what is about to be live. It is written before the link moves.
intent() {
	printf 'fence %s\ndigest %s\ndir %s\nlink %s\nsince %s\ncommit %s\nrevision %s\nrelease %s\nprevious %s\n' \
		"$v_fence" "$v_digest" "$name" "$1" "$(date +%s)" "$v_commit" "$v_revision" "$v_release" "$previous" | keep switching || exit 1
}

# flip moves the link with one rename. Nothing can come between the comparison of fences and the rename.
flip() {
	begin Switch
	flip_link=$state/current.new
	rm -f "$flip_link"
	ln -s "releases/$name" "$flip_link" || fail DiskFull "can't make $flip_link"
	sync -f "$releases" 2>/dev/null || sync
	lock_fence
	compare_fence
	intent "$(stat -c %i "$flip_link")"
	if [ -e "$base/current" ] && [ ! -h "$base/current" ]; then
		mv "$base/current" "$releases/aside-$(date +%s)" || fail LinkMoved "$base/current is no link and can't be moved aside"
	fi
	mv -fT "$flip_link" "$base/current" || fail DeliveryFailed "can't rename $flip_link to $base/current: they must lie on one file system"
	switched=true
	mv -f "$state/switching" "$state/switched"
	unlock_fence
	sync -f "$base" 2>/dev/null || sync
}

# protect prints a filter rule that keeps a shared path out of the sync, wildcards taken literally.
protect() { printf -- '- /%s\n' "$(printf '%s' "$1" | literally)"; }

# lay syncs the verified release into the document root itself (InPlace). Until it ends, files of both are served.
lay() {
	begin Switch
	each_shared protect >"$w/protect"
	if [ -f "$state/adopting" ]; then
		note "kept as $releases/pre-slipway: $(some "$state/adopting")"
		limited cp -a "$path/." "$releases/pre-slipway" 2>"$w/error" || fail DiskFull "can't keep what is in $path: $(head -n 1 "$w/error")"
	fi
	lock_fence
	compare_fence
	intent 0
	unlock_fence
	switched=true # from here on files of both are served
	limited rsync -rlpt --checksum --delete-delay --filter="merge $w/protect" "$releases/$name/" "$path/" >"$w/stats" 2>"$w/error" ||
		fail DeliveryFailed "syncing into $path failed: $(tail -n 2 "$w/error")"
	sync -f "$path" 2>/dev/null || sync
	verified "$path" || fail VerifyFailed "$path differs from the manifest after the sync: $(some "$w/differences")"
	lock_fence
	compare_fence
	mv -f "$state/switching" "$state/switched"
	unlock_fence
	rm -f "$state/adopting"
}

# finish records a delivery that went well.
finish() {
	if [ "$(value switched fence)" != "$v_fence" ]; then # it was live already, under an earlier fence
		sed "s/^fence .*/fence $v_fence/; /^finished /d" "$state/switched" | keep switched || exit 1
	fi
	[ "$(value switched finished)" = 1 ] || { cat "$state/switched"; echo 'finished 1'; } | keep switched || exit 1
	if [ "$(tail -n 1 "$state/history" 2>/dev/null)" != "$name" ]; then
		{ tail -n 200 "$state/history" 2>/dev/null; echo "$name"; } | keep history || exit 1
	fi
}

# wanted prints the names of the releases that stay: what is live, what is asked for, and the last that went well.
wanted() {
	echo "$name"
	for wanted_digest in $v_keep; do
		{ held; cat "$state/history"; } | grep "^${wanted_digest#sha256:}" | tail -n 1
	done
	awk '{ line[NR] = $0 } END { for (i = NR; i > 0 && n < keep; i--) if (!(line[i] in seen)) { seen[line[i]] = 1; n++; print line[i] } }' \
		keep=$((v_keep_releases + 1)) "$state/history"
}

prune() {
	begin Prune
	still_leading
	wanted | sort -u >"$w/wanted"
	for prune_dir in "$releases"/*; do
		prune_name=${prune_dir##*/}
		is_release "$prune_name" && ! grep -Fqx -e "$prune_name" "$w/wanted" || continue
		# By its new name it counts as held no longer, whatever comes of the removal.
		{ mv "$prune_dir" "$prune_dir.tmp" && rm -rf "$prune_dir.tmp"; } 2>>"$w/prune" || :
		rm -f "$state/stamps/$prune_name"
	done
	for prune_manifest in "$state/manifests"/*; do
		prune_hex=${prune_manifest##*/}
		grep -q "^$prune_hex" "$w/wanted" || rm -f "$prune_manifest"
	done
	[ ! -s "$w/prune" ] || say "{\"prune\":\"$(quoted "$(head -n 2 "$w/prune")")\"}"
}
