// Stores: every connect-redis with every client that it is used with.
'use strict';
const { once } = require('node:events');

// what their clients are made of; the password goes alone where a client knows no user
const clients = {
  redis3: ({ host, port, user, password }) => require('redis3').createClient({ host, port, password, ...(user !== 'default' && { user }) }),
  redis4: (at) => modern('redis4', at),
  redis4legacy: (at) => modern('redis4', at, { legacyMode: true }),
  redis5: (at) => modern('redis5', at),
  redis5named: (at) => modern('redis5', at, { name: 'blog', pingInterval: 1_000 }),
  redis5resp3: (at) => modern('redis5', at, { RESP: 3 }),
  redis5legacy: async (at) => (await modern('redis5', at)).legacy(),
  redis6: (at) => modern('redis6', at),
  redis6resp2: (at) => modern('redis6', at, { RESP: 2 }),
  ioredis4: (at) => old('ioredis4', at),
  ioredis5: (at) => old('ioredis5', at),
  ioredis6: (at) => old('ioredis6', at),
};

const modern = async (name, { host, port, user, password }, more = {}) => {
  const credentials = password ? { username: user, password } : {};
  const client = require(name).createClient({ socket: { host, port }, ...credentials, ...more });
  client.on('error', (why) => { throw why; });
  await client.connect();
  return client;
};

const old = async (name, { host, port, user, password }) => {
  const credentials = password ? { username: user, password } : {};
  const library = require(name);
  const client = new (library.Redis ?? library)({ host, port, ...credentials });
  await once(client, 'ready');
  return client;
};

exports.store = async (version, client, at, options = {}) => {
  const session = require('express-session');
  const module = require(`connect-redis${version}`);
  if (version === '3') {
    const { host, port, password } = at;
    return new (module(session))({ host, port, ...(password && { pass: password }), ...options });
  }
  const Store = ['5', '6'].includes(version) ? module(session) : (module.RedisStore ?? module.default);
  return new Store({ client: await clients[client](at), ...options });
};
// pairs that cannot list, whatever the server is: the store asks its client for what it does not have
exports.lists = (version, client) => !(client.startsWith('redis5') && ['6', '7', '8'].includes(version));
