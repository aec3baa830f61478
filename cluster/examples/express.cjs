// A service in Express that shares its sessions with Sojourn: stock express-session, connect-redis and Passport.
//
//   npm install express express-session connect-redis redis passport
//   sojourn app add express --prefix sess: --may-sign-in       gives the user and the password in REDIS
//   REDIS=redis://express:…@localhost:6379 SECRET=… node express.cjs
'use strict';
const express = require('express');
const session = require('express-session');
const passport = require('passport');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');

const { SOJOURN = 'http://localhost:3000', REDIS = 'redis://localhost:6379', SECRET, PORT = '4000' } = process.env;
const client = createClient({ url: REDIS }).on('error', (why) => console.error(why.message));

// what makes it the same session: the cookie's name, the secret (sessions.secrets) and the prefix
const shared = { name: 'sojourn', secret: SECRET, store: new RedisStore({ client, prefix: 'sess:' }) };
const app = express();
app.use(session({ ...shared, resave: false, saveUninitialized: false, cookie: { maxAge: 3_600_000 } }));
app.use(passport.session());
app.use(express.urlencoded({ extended: false }));

// whoever signed in on Sojourn's pages is `passport.user` of the session: their id. The rest Sojourn knows
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((req, id, done) => {
  fetch(`${SOJOURN}/profile`, { headers: { cookie: req.headers.cookie ?? '' } })
    .then(async (reply) => done(null, reply.ok ? await reply.json() : { id }), done);
});

app.get('/', (req, res) => {
  const { cookie, passport: _, ...data } = req.session;
  res.json({ user: req.user ?? null, data });
});

// what an app keeps in the session, Sojourn shows
app.post('/cart', (req, res) => {
  req.session.cart = [...(req.session.cart ?? []), req.body.beer];
  res.redirect(303, '/');
});

// it may ask for the password itself, when it was added with --may-sign-in
app.post('/login', async (req, res, next) => {
  const credentials = JSON.stringify({ email: req.body.email, password: req.body.password });
  const reply = await fetch(`${SOJOURN}/api/v1/signin`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: credentials });
  if (!reply.ok) return res.status(reply.status).json({ error: 'Invalid credentials.' });
  const { user } = await reply.json();
  // that began a session of its own, which nobody needs
  const cookie = reply.headers.getSetCookie().map((set) => set.split(';')[0]).join('; ');
  await fetch(`${SOJOURN}/api/v1/signout`, { method: 'POST', headers: { cookie } });
  return req.login(user, (why) => (why ? next(why) : res.redirect(303, '/')));
});

// ends the session here, on Sojourn's pages and everywhere
app.post('/logout', (req, res, next) => {
  req.session.destroy((why) => (why ? next(why) : res.clearCookie('sojourn').redirect(303, '/')));
});

client.connect().then(() => app.listen(Number(PORT), '127.0.0.1', () => console.log(`http://localhost:${PORT}`)));
