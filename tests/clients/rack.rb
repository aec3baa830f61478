# Rack's sessions over redis-rack: ruby rack.rb HOST PORT [PORT2 | -] [USER PASSWORD]
require 'json'
require 'rack'
require 'rack/mock'
require 'redis-rack'

host, port, second, user, password = ARGV
second = port if second.nil? || second == '-'
credentials = password ? { password: password } : {}
credentials[:username] = user if password && user != 'default'

def same(one, other)
  raise "#{one.inspect} is not #{other.inspect}" unless one == other
end

inner = lambda do |env|
  session = env['rack.session']
  case env['PATH_INFO']
  when '/count' then session['count'] = session['count'].to_i + 1
  when '/login' then env['rack.session.options'][:renew] = true
  when '/end' then env['rack.session.options'][:drop] = true
  end
  [200, {}, [JSON.dump(count: session['count'].to_i)]]
end

one, two = [port, second].map do |at|
  server = { host: host, port: at.to_i, namespace: 'rack:session', **credentials }
  Rack::MockRequest.new(Rack::Session::Redis.new(inner, redis_server: server, expire_after: 3600))
end
redis = Redis.new(host: host, port: port.to_i, **credentials)
cookie = nil
get = lambda do |app, path|
  reply = app.get(path, cookie ? { 'HTTP_COOKIE' => cookie } : {})
  cookie = reply['Set-Cookie'].split(';').first if reply['Set-Cookie']
  same(reply.status, 200)
  JSON.parse(reply.body)['count']
end

same(get.(one, '/count'), 1)
same(get.(two, '/count'), 2)
keys = redis.keys('rack:session:*')
same(keys.length, 1)
same(redis.ttl(keys[0]) > 3500, true)
get.(one, '/login')
same(redis.exists?(keys[0]), false)
same(get.(two, '/look'), 2)
get.(two, '/end')
same(redis.keys('rack:session:*'), [])
same(get.(one, '/look'), 0)

# as a client
redis.multi { |group| group.setnx('a', '1'); group.expire('a', 60) }
same(redis.set('a', '2', nx: true, ex: 5), false)
same(redis.pipelined { |group| group.get('a'); group.ttl('a') }, ['1', 60])
same(redis.del('a', 'b'), 1)
redis.close
puts 'ok'
