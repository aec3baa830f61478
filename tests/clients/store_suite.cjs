// what connect-redis tests itself by, and its load: node store_suite.cjs VERSION CLIENT HOST PORT [PORT2 | -] [USER PASSWORD]
'use strict';
const assert = require('node:assert/strict');
const { bare, done, script } = require('./place.cjs');
const { store: open } = require('./stores.cjs');

const COUNT = 1_000;

script(2, async (at, version, client) => {
  const options = { prefix: 'suite:', scanCount: 100 };
  const [one, two] = [await open(version, client, { ...at, port: at.ports[0] }, options), await open(version, client, { ...at, port: at.ports[1] }, options)];
  const redis = bare(at);
  const session = { foo: 'bar', cookie: { originalMaxAge: null } };
  await done(one, 'set', '123', session);
  assert.deepEqual({ ...(await done(two, 'get', '123')), lastModified: undefined }, { ...session, lastModified: undefined });
  assert.ok(await redis('TTL', 'suite:123') >= 86_399);
  const expires = (secs) => new Date(Date.now() + secs * 1_000).toISOString();
  await done(one, 'set', '456', { cookie: { expires: expires(60) } });
  const ttl = await redis('TTL', 'suite:456');
  assert.ok(ttl > 50 && ttl <= 60, `${ttl}`);
  await done(two, 'touch', '456', { cookie: { expires: expires(300) } });
  assert.ok(await redis('TTL', 'suite:456') > 200);
  assert.equal(await done(two, 'length'), 2);
  assert.deepEqual((await done(two, 'ids')).sort(), ['123', '456']);
  assert.deepEqual((await done(two, 'all')).map(({ id }) => id).sort(), ['123', '456']);
  await done(one, 'destroy', '456');
  assert.equal(await done(two, 'get', '456') ?? null, null);
  assert.equal(await done(one, 'length'), 1);
  await done(one, 'clear');
  assert.equal(await done(two, 'length'), 0);

  // 1003 SETs, a SCAN of pages, one MGET and one DEL of all
  const set = (number) => done(number % 2 ? one : two, 'set', `s${number}`, { number, cookie: {}, filling: 'x'.repeat(200) });
  for (let from = 0; from < COUNT + 3; from += 59) {
    await Promise.all(Array.from({ length: Math.min(59, COUNT + 3 - from) }, (_, n) => set(from + n)));
  }
  assert.equal(await done(one, 'length'), COUNT + 3);
  await Promise.all(['s1000', 's1001', 's1002'].map((id) => done(two, 'destroy', id)));
  const all = await done(one, 'all');
  assert.deepEqual(all.map(({ number }) => number).sort((a, b) => a - b), Array.from({ length: COUNT }, (_, n) => n));
  await done(two, 'clear');
  assert.equal(await done(one, 'length'), 0);
});
