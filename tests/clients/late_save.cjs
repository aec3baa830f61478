// A slow request that saves the session after another one has ended it (connect-redis#328): prints `revived` or `dead`.
//
//   node late_save.cjs HOW VERSION CLIENT HOST PORT [PORT2 | -] [USER PASSWORD]
//
// HOW is what the other request does: destroy, logout, or a URL that it asks, with the cookie, to be signed out there.
'use strict';
const assert = require('node:assert/strict');
const express = require('express');
const session = require('express-session');
const { bare, browser, listening, script } = require('./place.cjs');
const { store: open } = require('./stores.cjs');

script(3, async (at, how, version, client) => {
  const store = await open(version, client, { ...at, port: at.ports[0] });
  const other = await open(version, client, { ...at, port: at.ports[1] });
  const [begun, ended] = [signal(), signal()];
  const app = (store) => {
    const web = express();
    const name = process.env.COOKIE ?? 'connect.sid';
    web.use(session({ store, name, secret: process.env.SECRET ?? 'keyboard cat', resave: false, saveUninitialized: false }));
    web.get('/login', (req, res) => { req.session.passport = { user: '7' }; res.json({ id: req.sessionID }); });
    web.get('/slow', async (req, res) => {
      begun.happens();
      await ended;
      req.session.count = 1;
      res.json({});
    });
    web.get('/destroy', (req, res, next) => req.session.destroy((why) => (why ? next(why) : res.json({}))));
    web.get('/logout', (req, res, next) => req.session.regenerate((why) => (why ? next(why) : res.json({}))));
    return listening(web.listen(0, '127.0.0.1'));
  };
  const [one, two, ada, redis] = [await app(store), await app(other), browser(), bare(at, 1)];
  if (process.env.SIGNED) ada.jar.set(process.env.COOKIE, process.env.SIGNED);
  const id = process.env.SIGNED ? decodeURIComponent(process.env.SIGNED).slice(2).split('.')[0] : (await ada(`${one}/login`)).id;
  assert.equal(await redis('EXISTS', `sess:${id}`), 1);
  const cookie = [...ada.jar].map(([name, value]) => `${name}=${value}`).join('; ');
  const slow = ada(`${one}/slow`);
  await begun;
  if (how.startsWith('http')) {
    const reply = await fetch(how, { method: 'POST', headers: { cookie } });
    assert.ok(reply.status < 400, `${reply.status}`);
  } else {
    const mine = browser();
    mine.jar.set(...cookie.split('='));
    await mine(`${two}/${how}`);
  }
  assert.equal(await redis('EXISTS', `sess:${id}`), 0, 'it was ended');
  ended.happens();
  await slow;
  const [there, here] = [await redis('EXISTS', `sess:${id}`), await bare(at)('GET', `sess:${id}`)];
  assert.equal(there === 1, here !== null, 'both nodes say the same');
  console.log(there === 1 ? 'revived' : 'dead');
});

function signal() {
  let happens;
  const it = new Promise((resolve) => { happens = resolve; });
  return Object.assign(it, { happens });
}
