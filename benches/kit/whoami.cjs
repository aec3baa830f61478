// What services do today: Express, express-session, connect-redis and Passport on a real Redis answer "may this pass?"
//
//   REDIS=redis://127.0.0.1:6379 node whoami.cjs      says its address, and signs in whoever asks /login?user=…
'use strict';
const express = require('express');
const session = require('express-session');
const passport = require('passport');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');

const client = createClient({ url: process.env.REDIS });
const people = new Map();
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((id, done) => done(null, people.get(id) ?? false));

const app = express();
app.disable('x-powered-by');
app.use(session({ store: new RedisStore({ client }), secret: 'keyboard cat', resave: false, saveUninitialized: false }));
app.use(passport.session());
app.get('/login', (req, res, next) => {
  const user = { id: String(req.query.user), email: `reader${req.query.user}@example.com`, name: 'Ada Stout' };
  people.set(user.id, user);
  req.login(user, (why) => (why ? next(why) : res.end('in')));
});
app.get('/check', (req, res) => {
  if (!req.user) return res.status(401).end();
  const who = { 'Remote-User': req.user.id, 'Remote-Email': req.user.email, 'Remote-Name': req.user.name };
  // said, so that express-session does not send it in chunks
  return res.set({ ...who, 'Content-Length': '0' }).end();
});
client.connect().then(() => {
  const server = app.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
});
