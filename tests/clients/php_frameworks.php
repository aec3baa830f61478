<?php
// The session handlers of Symfony and Laravel, and of Predis: php php_frameworks.php KIND HOST PORT [PORT2 | -] [USER PASSWORD]
//
// KIND is symfony-phpredis, symfony-predis, predis, laravel-phpredis or laravel-predis.
set_error_handler(function ($level, $text) {
    if (!in_array($level, [E_DEPRECATED, E_USER_DEPRECATED])) fail("PHP says: $text");
    return true;
});

function fail($why) {
    fwrite(STDERR, "$why\n" . (new Exception)->getTraceAsString() . "\n");
    exit(1);
}
function same($one, $other) {
    if ($one !== $other) fail(var_export($one, true) . ' is not ' . var_export($other, true));
}

[, $kind, $host, $port] = $argv;
$second = ($argv[4] ?? '-') === '-' ? $port : $argv[4];
[$user, $password] = [$argv[5] ?? null, $argv[6] ?? null];
[$family, $client] = [strtok($kind, '-'), strtok('')];
require_once 'Predis/autoload.php';

function predis($host, $port) {
    global $user, $password;
    $credentials = $password === null ? [] : ['password' => $password] + ($user === 'default' ? [] : ['username' => $user]);
    return new Predis\Client(['host' => $host, 'port' => $port] + $credentials);
}
function phpredis($host, $port) {
    global $user, $password;
    $redis = new Redis;
    $redis->connect($host, (int) $port);
    if ($password !== null) $redis->auth($user === 'default' ? $password : [$user, $password]);
    return $redis;
}
function laravel($host, $port, $client) {
    global $user, $password;
    $app = new Illuminate\Container\Container;
    $connection = ['host' => $host, 'port' => $port, 'database' => 0, 'username' => $user === 'default' ? null : $user, 'password' => $password];
    return new Illuminate\Redis\RedisManager($app, $client, ['default' => $connection, 'options' => ['prefix' => 'laravel_']]);
}
switch ($family) {
    case 'symfony':
        require_once 'Symfony/Component/HttpFoundation/autoload.php';
        $handler = function ($port) use ($host, $client) {
            return new Symfony\Component\HttpFoundation\Session\Storage\Handler\RedisSessionHandler($client($host, $port), ['prefix' => 'sf_', 'ttl' => 3600]);
        };
        break;
    case 'predis':
        $handler = function ($port) use ($host) {
            return new Predis\Session\Handler(predis($host, $port), ['gc_maxlifetime' => 3600]);
        };
        break;
    default:
        foreach (['Redis', 'Session', 'Cache', 'Container', 'Support'] as $part) require_once "Illuminate/$part/autoload.php";
        $handler = function ($port) use ($host, $client) {
            $store = new Illuminate\Cache\RedisStore(laravel($host, $port, $client), 'cache:');
            return new Illuminate\Session\CacheBasedSessionHandler(new Illuminate\Cache\Repository($store), 60);
        };
}

[$one, $two] = [$handler($port), $handler($second)];
$id = bin2hex(random_bytes(16));
foreach ([$one, $two] as $each) same($each->open('', 'session'), true);
same($one->read($id), '');
same($one->write($id, 'count|i:1;'), true);
same($two->read($id), 'count|i:1;');
same($two->write($id, "count|i:2;\x00\xff"), true);
same($one->read($id), "count|i:2;\x00\xff");
if (method_exists($one, 'updateTimestamp')) same($one->updateTimestamp($id, "count|i:2;\x00\xff"), true);
same($two->destroy($id), true);
same($one->read($id), '');

if ($family === 'laravel') {
    // the cache and its locks beside it
    [$cache, $other] = [new Illuminate\Cache\RedisStore(laravel($host, $port, $client), 'cache:'), new Illuminate\Cache\RedisStore(laravel($host, $second, $client), 'cache:')];
    same($cache->add('a', 1, 60), true);
    same($other->add('a', 2, 60), false);
    same((int) $other->increment('a', 4), 5);
    same($cache->putMany(['b' => 'x', 'c' => 'y'], 60), true);
    same($other->many(['b', 'c']), ['b' => 'x', 'c' => 'y']);
    [$held, $wanted] = [$cache->lock('stock', 10), $other->lock('stock', 10)];
    same($held->acquire(), true);
    same($wanted->acquire(), false);
    same((bool) $wanted->release(), false);
    same((bool) $held->release(), true);
    same($wanted->acquire(), true);
    same((bool) $wanted->release(), true);
    foreach (['a', 'b', 'c'] as $key) same((bool) $cache->forget($key), true);
}
echo "ok\n";
