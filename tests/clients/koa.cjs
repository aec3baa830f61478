// koa-session over koa-redis, which brings its own ioredis 4: node koa.cjs HOST PORT [PORT2 | -] [USER PASSWORD]
'use strict';
const assert = require('node:assert/strict');
const Koa = require('koa');
const redisStore = require('koa-redis');
const { bare, browser, listening, script } = require('./place.cjs');

const session = require('koa-session').default ?? require('koa-session');

script(0, async (at) => {
  const stores = at.ports.map((port) => redisStore({ host: at.host, port, password: at.password, ...(at.user && at.user !== 'default' && { username: at.user }) }));
  const app = (store) => {
    const web = new Koa();
    web.keys = ['keyboard cat'];
    const options = { store, maxAge: 3_600_000, rolling: true };
    web.use(session(options, web));
    web.use((ctx) => {
      if (ctx.path === '/count') ctx.session.count = (ctx.session.count ?? 0) + 1;
      if (ctx.path === '/end') ctx.session = null;
      ctx.body = { count: ctx.session?.count ?? 0 };
    });
    return listening(web.listen(0, '127.0.0.1'));
  };
  const [one, two] = [await app(stores[0]), await app(stores[1])];
  const [ada, redis] = [browser(), bare(at)];
  assert.equal((await ada(`${one}/count`)).count, 1);
  assert.equal((await ada(`${two}/count`)).count, 2);
  const id = ada.jar.get('koa.sess');
  assert.ok(await redis('TTL', id) > 3_500);
  assert.equal((await ada(`${one}/look`)).count, 2);
  await ada(`${two}/end`);
  assert.equal(await redis('EXISTS', id), 0);
  assert.equal((await ada(`${one}/look`)).count, 0);
  // its quit is to be answered
  for (const store of stores) await store.quit();
});
