// Express's cookie-signature and cookie: node cookies.cjs
//
// Reads one JSON object, {"secret", "cookies": [[sid, value] …]}, of ours. Writes {"refused": […], "cookies": [[sid, value] …]}:
// those that Express refuses, and as many of its own.
'use strict';
const { randomBytes } = require('node:crypto');
const { parse, serialize } = require('cookie');
const { sign, unsign } = require('cookie-signature');

const { secret, cookies } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
// as express-session reads it: parsed and decoded by `cookie`, then `s:` taken off
const read = (header) => {
  const raw = parse(header).sojourn;
  return raw?.startsWith('s:') ? unsign(raw.slice(2), secret) : false;
};
const refused = cookies.filter(([sid, value]) => read(`other=1; sojourn=${value}`) !== sid);
const made = cookies.map(() => {
  const sid = randomBytes(24).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  return [sid, serialize('sojourn', `s:${sign(sid, secret)}`).slice('sojourn='.length)];
});
console.log(JSON.stringify({ refused, cookies: made }));
