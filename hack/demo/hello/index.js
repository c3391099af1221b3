const ms = require('ms');
const fs = require('fs');
// Written at build time: the page says which Node built it, and uses the dependency that npm ci resolved.
fs.mkdirSync('public', { recursive: true });
fs.writeFileSync('public/index.html', `hello from Node ${process.versions.node.split('.')[0]}; two days are ${ms('2 days')} ms\n`);
