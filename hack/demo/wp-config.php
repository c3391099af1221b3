<?php
// The site's own, on each host: releases neither ship nor delete it. (@HOST@)
define( 'DB_NAME', 'blog' );
define( 'DB_USER', 'blog' );
define( 'DB_PASSWORD', 'not-a-real-one' );
define( 'DB_HOST', 'localhost' );
// Files change through a Release alone. A plugin installed from the dashboard, or WordPress updating itself, would
// make this host differ from the others; Slipway would call it drift and undo it.
define( 'DISALLOW_FILE_MODS', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
$table_prefix = 'wp_';
if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', __DIR__ . '/' );
}
require_once ABSPATH . 'wp-settings.php';
