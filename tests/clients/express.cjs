// express-session and Passport over connect-redis: node express.cjs VERSION CLIENT HOST PORT [PORT2 | -] [USER PASSWORD]
'use strict';
const assert = require('node:assert/strict');
const express = require('express');
const session = require('express-session');
const { Passport } = require('passport');
const { bare, browser, done, listening, script } = require('./place.cjs');
const { lists, store: open } = require('./stores.cjs');

const app = (store) => {
  const passport = new Passport();
  passport.serializeUser((user, next) => next(null, user.id));
  passport.deserializeUser((id, next) => next(null, { id }));
  const web = express();
  web.use(session({ store, secret: 'keyboard cat', resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } }));
  web.use(passport.session());
  web.get('/look', (req, res) => res.json({ id: req.sessionID, user: req.user?.id ?? null, count: req.session.count ?? 0 }));
  web.get('/count', (req, res) => res.json({ id: req.sessionID, count: (req.session.count = (req.session.count ?? 0) + 1) }));
  web.get('/login', (req, res, next) => req.login({ id: req.query.user }, { keepSessionInfo: true }, (why) => (why ? next(why) : res.json({ id: req.sessionID }))));
  web.get('/logout', (req, res, next) => req.logout((why) => (why ? next(why) : res.json({ id: req.sessionID }))));
  web.get('/destroy', (req, res, next) => req.session.destroy((why) => (why ? next(why) : res.json({}))));
  return listening(web.listen(0, '127.0.0.1'));
};

script(2, async (at, version, client) => {
  const stores = [];
  for (const port of at.ports) stores.push(await open(version, client, { ...at, port }));
  const [one, two] = [await app(stores[0]), await app(stores[1])];
  const [ada, redis] = [browser(), bare(at)];

  assert.equal((await ada(`${one}/look`)).count, 0);
  assert.equal(ada.jar.size, 0, 'looking begins no session');
  const { id } = await ada(`${one}/count`);
  assert.equal((await ada(`${two}/count`)).count, 2);
  assert.equal((await ada(`${one}/look`)).count, 2);

  // a look moves the deadline
  assert.equal(await redis('EXPIRE', `sess:${id}`, 600), 1);
  await ada(`${two}/look`);
  assert.ok(await redis('TTL', `sess:${id}`) > 3_500, 'touched');

  // signing in begins another session, and the one before is dead
  const inside = await ada(`${one}/login?user=7`);
  assert.notEqual(inside.id, id);
  assert.deepEqual(await ada(`${two}/look`), { id: inside.id, user: '7', count: 2 });
  assert.equal(await redis('EXISTS', `sess:${id}`), 0);

  if (lists(version, client)) {
    const ids = await done(stores[1], 'ids');
    assert.ok(ids.includes(inside.id) && !ids.includes(id), `${ids}`);
    const all = await done(stores[1], 'all');
    assert.equal(all.find((held) => held.id === inside.id).passport.user, '7');
    if (stores[0].length.length > 0) assert.equal(await done(stores[1], 'length'), ids.length);
  }

  // signing out
  const outside = await ada(`${two}/logout`);
  assert.notEqual(outside.id, inside.id);
  assert.equal((await ada(`${one}/look`)).user, null);
  assert.equal(await redis('GET', `sess:${inside.id}`), null);
  assert.equal((await ada(`${one}/count`)).count, 1);
  const last = (await ada(`${one}/look`)).id;
  await ada(`${two}/destroy`);
  assert.equal(await redis('EXISTS', `sess:${last}`), 0);
  assert.equal(await done(stores[0], 'get', last) ?? null, null);
});
