// @fastify/session over a connect-redis: node fastify.cjs VERSION CLIENT HOST PORT [PORT2 | -] [USER PASSWORD]
'use strict';
const assert = require('node:assert/strict');
const fastify = require('fastify');
const { bare, browser, script } = require('./place.cjs');
const { store: open } = require('./stores.cjs');

const SECRET = 'a secret of at least thirty-two characters';

script(2, async (at, version, client) => {
  const app = async (port) => {
    const web = fastify();
    const store = await open(version, client, { ...at, port });
    await web.register(require('@fastify/cookie'));
    await web.register(require('@fastify/session'), { store, secret: SECRET, cookie: { secure: false, maxAge: 3_600_000 }, saveUninitialized: false });
    web.get('/count', async (req) => ({ id: req.session.sessionId, count: (req.session.count = (req.session.count ?? 0) + 1) }));
    web.get('/look', async (req) => ({ id: req.session.sessionId, count: req.session.count ?? 0 }));
    web.get('/login', async (req) => { await req.session.regenerate(['count']); return { id: req.session.sessionId }; });
    web.get('/end', async (req) => { await req.session.destroy(); return {}; });
    return web.listen({ port: 0, host: '127.0.0.1' });
  };
  const [one, two] = [await app(at.ports[0]), await app(at.ports[1])];
  const [ada, redis] = [browser(), bare(at)];
  const { id } = await ada(`${one}/count`);
  assert.equal((await ada(`${two}/count`)).count, 2);
  assert.equal(await redis('EXPIRE', `sess:${id}`, 600), 1);
  assert.equal((await ada(`${one}/look`)).count, 2);
  assert.ok(await redis('TTL', `sess:${id}`) > 3_500, 'rolled');
  const inside = await ada(`${two}/login`);
  assert.notEqual(inside.id, id);
  assert.deepEqual(await ada(`${one}/look`), { id: inside.id, count: 2 });
  await ada(`${two}/end`);
  assert.equal(await redis('EXISTS', `sess:${inside.id}`), 0);
  assert.equal((await ada(`${one}/look`)).count, 0);
});
