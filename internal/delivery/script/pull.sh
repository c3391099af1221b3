# Getting a release from the depot into a directory of its own.

# reach writes how the depot is reached. The private key stays in the controller's agent; where the host forbids agent
# forwarding it lies in memory for as long as the pull takes.
reach() {
	[ -n "$v_depot_host" ] || fail DepotUnavailable "this host holds no intact copy of $v_digest, and the depot is not known"
	printf '%s\n' "$v_depot_known" >"$w/known_hosts"
	printf '%s\n' "$v_certificate" >"$w/id-cert.pub"
	reach_identity="IdentityFile $w/id-cert.pub" # ssh asks the agent for the key of this one
	if [ -n "$v_key" ]; then
		reach_identity="IdentityFile $w/id${nl}CertificateFile $w/id-cert.pub"
		case $(stat -f -c %T "$w" 2>/dev/null) in
		tmpfs | ramfs) ;;
		*) fail DeliveryFailed "this host forbids agent forwarding and has no tmpfs for a short-lived key: allow AllowAgentForwarding or mount /dev/shm" ;;
		esac
		(umask 077 && printf '%s\n' "$v_key" >"$w/id")
	fi
	cat >"$w/ssh_config" <<END
Host *
HostName $v_depot_host
Port $v_depot_port
User slipway
$reach_identity
IdentitiesOnly yes
UserKnownHostsFile $w/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
BatchMode yes
PasswordAuthentication no
ControlMaster no
ControlPath none
ConnectTimeout 20
ServerAliveInterval 15
ServerAliveCountMax 4
LogLevel ERROR
END
	rsh="ssh -F $w/ssh_config"
}

# forget ends the use of the depot's credential.
forget() {
	rm -f "$w/id"
	say '{"pulled":true}'
}

# unreachable makes a verdict of what ssh or rsync said.
unreachable() {
	if grep -q 'No space left on device\|Disk quota exceeded' "$w/error"; then
		rm -rf "${new:-$w/none}" # give the room back to what runs
		fail DiskFull "the disk filled up while $1: free some space or lower deploy.keepReleases"
	fi
	unreachable_said=$(tail -n 3 "$w/error")
	fail DepotUnavailable "$1 from $v_depot_host:$v_depot_port failed: ${unreachable_said:-no answer}"
}

fetch_manifest() {
	manifest=$state/manifests/$hex
	if [ -f "$manifest" ] && [ "$(sha256sum <"$manifest" | cut -c 1-64)" = "$hex" ]; then return; fi
	briefly 60 $rsh depot manifest "$v_digest" >"$w/manifest" 2>"$w/error" || unreachable "reading the manifest"
	[ "$(sha256sum <"$w/manifest" | cut -c 1-64)" = "$hex" ] || fail VerifyFailed "the depot sent a manifest that is not that of $v_digest"
	keep "manifests/$hex" <"$w/manifest"
}

# transfer DIRECTORY [OPTION...] runs rsync.
transfer() {
	transfer_to=$1
	shift
	limited rsync -rlpt --delete --timeout=60 --stats "$@" -e "$rsh" slipway@depot:tree/ "$transfer_to/" >"$w/stats" 2>"$w/error" ||
		unreachable "pulling"
	say "{\"bytes\":$(sed -n 's/^Total bytes received: //p' "$w/stats" | tr -dc 0-9)}"
}

# running prints the directory that unchanged files are taken from.
running() { running_name=$(live_name); [ -z "$running_name" ] || echo "$releases/$running_name"; }

# shares_inodes says whether releases may share files: only if the web server's user can't write them.
shares_inodes() { [ -n "$v_web_user" ] && [ "$v_web_user" != "$(id -un)" ] && [ "$v_web_user" != root ]; }

pull() {
	begin Pull
	reach
	fetch_manifest
	awk -F '\t' '{ print $5 }' "$manifest" >"$w/paths"
	each_shared not_shipped
	new=$releases/$name.tmp
	old=$(running)
	if [ -z "$old" ]; then
		room "$manifest" ""
		set --
	elif shares_inodes && [ -f "$state/manifests/$(basename "$old" | sed 's/-.*//')" ]; then
		room "$manifest" "$state/manifests/$(basename "$old" | sed 's/-.*//')"
		set -- "--link-dest=$old"
	else
		room "$manifest" ""
		set -- "--copy-dest=$old"
	fi
	# What was changed on the host is no source to take unchanged files from by their size and time.
	[ "$v_repair" != 1 ] || set -- "$@" --checksum
	mkdir -p "$new" && chmod 755 "$new" || fail DiskFull "can't make $new"
	transfer "$new" "$@"
	begin Verify
	verified "$new" || mend
	forget
}

not_shipped() {
	! grep -Fqx -e "$1" "$w/paths" ||
		fail VerifyFailed "the artifact holds $1, which is a shared path of this Service: build it again" terminal
}

# mend removes exactly what is wrong and pulls it again, once, from the depot alone and by content.
mend() {
	note "mending: $(some "$w/differences")"
	while IFS= read -r mend_path; do
		if [ -d "$new/$mend_path" ] && [ ! -h "$new/$mend_path" ]; then
			chmod 755 "$new/$mend_path"
		else
			rm -f "$new/$mend_path"
		fi
	done <"$w/differences"
	transfer "$new" --checksum
	verified "$new" || rm -rf "$new"
	[ -d "$new" ] || fail VerifyFailed "what arrived differs from the manifest of $v_digest: $(some "$w/differences")"
}
