// hapi's catbox-redis, which brings its own ioredis 5: node hapi.cjs HOST PORT [PORT2 | -] [USER PASSWORD]
'use strict';
const assert = require('node:assert/strict');
const { Client, Policy } = require('@hapi/catbox');
const { Engine } = require('@hapi/catbox-redis');
const { bare, script } = require('./place.cjs');

script(0, async (at) => {
  const caches = [];
  for (const port of at.ports) {
    const credentials = at.password ? { username: at.user, password: at.password } : {};
    const client = new Client(new Engine({ host: at.host, port, partition: 'hapi', ...credentials }));
    await client.start();
    caches.push(new Policy({ expiresIn: 3_600_000 }, client, 'session'));
  }
  const [one, two] = caches;
  await one.set('a', { user: 'ada', count: 1 });
  assert.deepEqual(await two.get('a'), { user: 'ada', count: 1 });
  await two.set('a', { user: 'ada', count: 2 });
  assert.equal((await one.get('a')).count, 2);
  assert.ok(await bare(at)('PTTL', 'hapi:session:a') > 3_500_000);
  await one.drop('a');
  assert.equal(await two.get('a'), null);
  // short lives end of themselves
  await one.set('b', 1, 120);
  await new Promise((next) => setTimeout(next, 200));
  assert.equal(await two.get('b'), null);
});
