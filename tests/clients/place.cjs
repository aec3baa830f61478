// Place: what every script here has: where the server under test is, a browser of sorts, and a bare connection.
//
// The arguments are HOST PORT [PORT2 | -] [USER PASSWORD]: PORT2 is another node of the same cluster.
'use strict';
const assert = require('node:assert/strict');
const net = require('node:net');

exports.place = (args) => {
  const [host, port, second = '-', user, password] = args;
  const ports = [Number(port), second === '-' ? Number(port) : Number(second)];
  return { host, ports, user, password };
};

// a bare RESP2 connection, to look at what a client did
exports.bare = ({ host, ports, user, password }, at = 0) => {
  const socket = net.connect(ports[at], host).setNoDelay();
  const waiting = [];
  let held = Buffer.alloc(0);
  const line = (from) => {
    const end = held.indexOf('\r\n', from);
    return end < 0 ? undefined : [held.toString('latin1', from, end), end + 2];
  };
  const parse = (from) => {
    const head = line(from);
    if (!head) return undefined;
    const [text, next] = head;
    const rest = text.slice(1);
    switch (text[0]) {
      case '+': return [rest, next];
      case '-': return [new Error(rest), next];
      case ':': return [Number(rest), next];
      case '$': {
        const length = Number(rest);
        if (length < 0) return [null, next];
        return held.length < next + length + 2 ? undefined : [held.toString('utf8', next, next + length), next + length + 2];
      }
      case '*': {
        if (Number(rest) < 0) return [null, next];
        const items = [];
        let here = next;
        for (let n = 0; n < Number(rest); n += 1) {
          const item = parse(here);
          if (!item) return undefined;
          items.push(item[0]);
          here = item[1];
        }
        return [items, here];
      }
      default: throw new Error(`not RESP2: ${text}`);
    }
  };
  socket.on('data', (data) => {
    held = Buffer.concat([held, data]);
    for (let reply = parse(0); reply; reply = parse(0)) {
      held = held.subarray(reply[1]);
      const { resolve, reject } = waiting.shift();
      if (reply[0] instanceof Error) reject(reply[0]); else resolve(reply[0]);
    }
  });
  const fail = (why) => waiting.splice(0).forEach(({ reject }) => reject(why));
  socket.on('error', fail).on('close', () => fail(new Error('closed')));
  const send = (...words) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    const bulk = (word) => `$${Buffer.byteLength(String(word))}\r\n${word}\r\n`;
    socket.write(`*${words.length}\r\n${words.map(bulk).join('')}`);
  });
  if (password) send('AUTH', user, password).catch(fail);
  send.close = () => socket.end();
  return send;
};

// a browser as far as cookies go; `at` is an address like http://127.0.0.1:1234
exports.browser = () => {
  const jar = new Map();
  const go = async (at, method = 'GET', headers = {}) => {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const reply = await fetch(at, { method, redirect: 'manual', headers: { ...headers, cookie } });
    for (const set of reply.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
      if (/expires=thu, 01 jan 1970|max-age=0/i.test(set)) jar.delete(name); else jar.set(name, value);
    }
    const text = await reply.text();
    assert.equal(reply.status, 200, `${method} ${at}: ${reply.status} ${text}`);
    return JSON.parse(text);
  };
  go.jar = jar;
  return go;
};

// a callback interface as a promise
exports.done = (object, method, ...args) => new Promise((resolve, reject) => {
  object[method](...args, (error, value) => (error ? reject(error) : resolve(value)));
});

exports.listening = (server) => new Promise((resolve) => {
  server.on('listening', () => resolve(`http://127.0.0.1:${server.address().port}`));
});

// runs a script to its end: `ok`, or what went wrong and status 1; it is given its own arguments and then the place
exports.script = (own, main) => {
  const args = process.argv.slice(2);
  setTimeout(() => { console.error('too slow'); process.exit(1); }, 60_000).unref();
  const end = (status) => process.exit(status);
  main(exports.place(args.slice(own)), ...args.slice(0, own))
    .then(() => { console.log('ok'); end(0); }, (why) => { console.error(why); end(1); });
};
