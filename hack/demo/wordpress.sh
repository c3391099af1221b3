#!/usr/bin/env bash
# Copyright The Slipway Authors.
# SPDX-License-Identifier: Apache-2.0
#
#   wordpress.sh REPOSITORY CACHE     makes a bare git repository of WordPress with the tags v1.0.0, v1.1.0 and v1.2.0
#
# The tree is Debian's package, unpacked and not installed. Dates and names are fixed, so that the commits are the same
# wherever this runs.
set -euo pipefail
repository=$1 cache=$2
say() { echo "wordpress: $*" >&2; }

if git -C "$repository" rev-parse -q --verify v1.2.0 >/dev/null 2>&1; then
  say "the repository is there already."
  exit
fi
packages=(wordpress wordpress-theme-twentytwentythree libjs-underscore libjs-cropper php-getid3)
mkdir -p "$cache"
chmod 0755 "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for package in "${packages[@]}"; do
  compgen -G "$cache/${package}_*.deb" >/dev/null && continue
  say "downloading Debian's package $package …"
  if ! (cd "$cache" && apt-get download -q "$package") >"$work/apt.log" 2>&1; then
    if ! { apt-get update -q && cd "$cache" && apt-get download -q "$package"; } >"$work/apt.log" 2>&1; then
      cat "$work/apt.log" >&2
      say "apt-get could not download $package."
      exit 1
    fi
  fi
done
for package in "${packages[@]}"; do dpkg -x "$(ls "$cache/${package}"_*.deb | tail -n 1)" "$work/root"; done

# Links of the package lead out of its tree: to libraries of other packages, which are followed, and to /etc.
source=$work/root/usr/share/wordpress tree=$work/tree
install -m 0644 "$work/root/etc/wordpress/htaccess" "$work/htaccess"
ln -sfn "$work/htaccess" "$source/.htaccess"
rm "$source/wp-includes/certificates/ca-bundle.crt" # the build takes that of its image
cp -rL "$source" "$tree"
rm -f "$tree/wp-config.php" # the hosts' own; Debian's reads /etc/wordpress
mkdir -p "$tree/wp-content/mu-plugins"
cat >"$tree/wp-content/mu-plugins/acme-notice.php" <<'PHP'
<?php
/**
 * Plugin Name: Acme Notice
 * Version: 1.0.0
 */
add_action( 'wp_footer', function () { echo '<!-- acme 1.0.0 -->'; } );
PHP
cat >"$tree/wp-content/mu-plugins/acme-legacy.php" <<'PHP'
<?php
/**
 * Plugin Name: Acme Legacy
 * Version: 0.9.0
 */
PHP

export GIT_AUTHOR_NAME=Ops GIT_AUTHOR_EMAIL=ops@example.com GIT_COMMITTER_NAME=Ops GIT_COMMITTER_EMAIL=ops@example.com
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
commit() { # commit TAG DATE MESSAGE
  export GIT_AUTHOR_DATE=$2 GIT_COMMITTER_DATE=$2
  git -C "$tree" add -A -f
  git -C "$tree" commit -q -m "$3"
  git -C "$tree" tag "$1"
  say "$1: $(git -C "$tree" rev-parse --short=8 HEAD) $3"
}
git -c init.defaultBranch=main init -q "$tree"
commit v1.0.0 2026-01-05T09:00:00Z "Put WordPress under version control"

sed -i 's/1\.0\.0/1.1.0/g' "$tree/wp-content/mu-plugins/acme-notice.php"
sed -i 's/^Version: .*/Version: 1.1/' "$tree/wp-content/themes/twentytwentythree/style.css"
sed -i 's/^Version: .*/Version: 5.0.3/' "$tree/wp-content/plugins/akismet/akismet.php"
mkdir -p "$tree/wp-content/plugins/acme-forms"
cat >"$tree/wp-content/plugins/acme-forms/acme-forms.php" <<'PHP'
<?php
/**
 * Plugin Name: Acme Forms
 * Version: 2.0.0
 */
add_shortcode( 'acme_form', fn () => '<form class="acme"></form>' );
PHP
commit v1.1.0 2026-01-12T09:00:00Z "Upgrade Akismet, the theme and Acme Notice; add Acme Forms"

git -C "$tree" rm -q wp-content/mu-plugins/acme-legacy.php
sed -i 's/1\.1\.0/1.2.0/g' "$tree/wp-content/mu-plugins/acme-notice.php"
commit v1.2.0 2026-01-19T09:00:00Z "Delete Acme Legacy"

mkdir -p "$(dirname "$repository")"
rm -rf "$repository"
git clone -q --bare "$tree" "$repository"
