<?php
// phpredis as PHP's own session handler: php phpredis.php plain|locking|persistent HOST PORT [PORT2 | -] [USER PASSWORD]
set_error_handler(function ($level, $text) { fail("PHP says: $text"); });

function fail($why) {
    fwrite(STDERR, "$why\n" . (new Exception)->getTraceAsString() . "\n");
    exit(1);
}
function same($one, $other) {
    if ($one !== $other) fail(var_export($one, true) . ' is not ' . var_export($other, true));
}

[, $how, $host, $port] = $argv;
$second = ($argv[4] ?? '-') === '-' ? $port : $argv[4];
[$user, $password] = [$argv[5] ?? null, $argv[6] ?? null];
$auth = $password === null ? '' : ($user === 'default' ? '&auth=' . urlencode($password) : '&auth[]=' . urlencode($user) . '&auth[]=' . urlencode($password));
$more = $how === 'persistent' ? '&persistent=1' : '';

ini_set('session.save_handler', 'redis');
ini_set('session.use_cookies', '0');
ini_set('session.use_only_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('session.use_strict_mode', '1');
ini_set('session.gc_maxlifetime', '3600');
ini_set('redis.session.locking_enabled', $how === 'locking' ? '1' : '0');
ini_set('redis.session.lock_expire', '5');
ini_set('redis.session.lock_retries', '-1');

function redis($host, $port, $user, $password) {
    $redis = new Redis;
    $redis->connect($host, (int) $port);
    if ($password !== null) $redis->auth($user === 'default' ? $password : [$user, $password]);
    return $redis;
}
// a request to the app on this node
$request = function ($id, $port, $what) use ($host, $auth, $more) {
    ini_set('session.save_path', "tcp://$host:$port?prefix=PHPSESSION:$auth$more");
    session_id($id);
    session_start();
    $said = $what();
    $id = session_id();
    session_write_close();
    $_SESSION = [];
    return [$id, $said];
};

$count = function () { return $_SESSION['count'] = ($_SESSION['count'] ?? 0) + 1; };
$look = function () { return $_SESSION['count'] ?? 0; };
[$id, $said] = $request('chosen-by-a-stranger', $port, $count);
same($said, 1);
same($id === 'chosen-by-a-stranger', false);
same($request($id, $second, $count), [$id, 2]);
same($request($id, $port, $look), [$id, 2]);
$redis = redis($host, $port, $user, $password);
$redis->expire("PHPSESSION:$id", 600);
// unchanged is touched
same($request($id, $second, $look), [$id, 2]);
same($redis->ttl("PHPSESSION:$id") > 3500, true);
[$inside] = $request($id, $port, function () { session_regenerate_id(true); $_SESSION['user'] = '7'; });
same($inside === $id, false);
same($redis->exists("PHPSESSION:$id"), 0);
same($request($inside, $second, function () { return $_SESSION; }), [$inside, ['count' => 2, 'user' => '7']]);
if ($how === 'locking') {
    // while one request holds the session, no other has it
    same($request($inside, $port, function () use ($redis, $inside) {
        return $redis->exists("PHPSESSION:{$inside}_LOCK");
    }), [$inside, 1]);
    same($redis->exists("PHPSESSION:{$inside}_LOCK"), 0);
}
ini_set('session.save_path', "tcp://$host:$second?prefix=PHPSESSION:$auth$more");
session_id($inside);
session_start();
session_destroy();
same($redis->exists("PHPSESSION:$inside"), 0);
// nothing of it is left elsewhere
same($request($inside, $port, $look)[1], 0);

// and as a client
$redis->setex('plain', 60, "\x00 bytes \xff");
same(redis($host, $second, $user, $password)->get('plain'), "\x00 bytes \xff");
same($redis->del('plain'), 1);
echo "ok\n";
