"""Django's sessions and its cache: django_sessions.py STORE HOST PORT [PORT2 | -] [USER PASSWORD]

STORE is cache or cached_db over Django's own backend, django_redis or django_redis_db over django-redis, or redis_sessions
(django-redis-sessions).
"""

import django
from django.conf import settings
from place import place

store, at = place(1)
BACKENDS = {
    "cache": "django.core.cache.backends.redis.RedisCache",
    "cached_db": "django.core.cache.backends.redis.RedisCache",
    "django_redis": "django_redis.cache.RedisCache",
    "django_redis_db": "django_redis.cache.RedisCache",
    "redis_sessions": "django.core.cache.backends.redis.RedisCache",
}
ENGINES = {
    "cache": "django.contrib.sessions.backends.cache",
    "cached_db": "django.contrib.sessions.backends.cached_db",
    "django_redis": "django.contrib.sessions.backends.cache",
    "django_redis_db": "django.contrib.sessions.backends.cached_db",
    "redis_sessions": "redis_sessions.session",
}
settings.configure(
    SECRET_KEY="keyboard cat",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHES={
        "default": {"BACKEND": BACKENDS[store], "LOCATION": at.url(0)},
        "other": {"BACKEND": BACKENDS[store], "LOCATION": at.url(1)},
    },
    SESSION_ENGINE=ENGINES[store],
    SESSION_REDIS={
        "host": at.host, "port": at.ports[0], "password": at.password, "prefix": "session", "socket_timeout": 5,
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from importlib import import_module  # noqa: E402

from django.contrib.auth import SESSION_KEY, get_user, login, logout  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.cache import caches  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpRequest  # noqa: E402

call_command("migrate", verbosity=0)
engine = import_module(settings.SESSION_ENGINE)


def at_node(name):
    """A session store that works through this node."""
    if store == "redis_sessions":
        return engine.SessionStore

    class There(engine.SessionStore):
        def __init__(self, session_key=None):
            super().__init__(session_key)
            self._cache = caches[name]

    return There


One, Two = at_node("default"), at_node("other")


def request(session):
    asked = HttpRequest()
    asked.session = session
    return asked


begun = One()
begun["count"] = 1
begun.save()
first = begun.session_key
assert Two(first)["count"] == 1
assert One(first).exists(first)
changed = Two(first)
changed["count"] = 2
changed.save()
assert One(first)["count"] == 2

ada = User.objects.create_user("ada", password="correct horse battery")
asked = request(One(first))
login(asked, ada, backend="django.contrib.auth.backends.ModelBackend")
asked.session.save()
inside = asked.session.session_key
assert inside != first and not Two(first).exists(first), "the session of before is dead"
there = request(Two(inside))
assert there.session[SESSION_KEY] == str(ada.pk) and get_user(there) == ada
assert there.session["count"] == 2
logout(there)
assert not One(inside).exists(inside)
assert get_user(request(One(inside))).is_anonymous

# the cache beside it
one, two = caches["default"], caches["other"]
one.set("a", {"deep": [1, 2]}, 60)
assert two.get("a") == {"deep": [1, 2]}
assert two.add("a", 1) is False and two.add("b", 5, 60) is True
assert one.incr("b") == 6 and two.decr("b", 2) == 4
one.set_many({"c": "x", "d": "y"}, 60)
assert two.get_many(["c", "d", "nothing"]) == {"c": "x", "d": "y"}
assert one.touch("c", 120) and one.touch("c", None) and not two.touch("nothing", 5)
one.delete_many(["c", "d"])
assert two.get("c") is None and two.has_key("a")
if store.startswith("django_redis"):
    assert 0 < one.ttl("a") <= 60
    assert two.expire("a", 30) and one.persist("a") and two.ttl("a") is None
    assert two.pexpire("a", 5_000) and 0 < one.pttl("a") <= 5_000
    assert sorted(two.keys("*")) and "a" in list(one.iter_keys("*"))
    with two.lock("stocktaking", timeout=5):
        assert not one.lock("stocktaking", timeout=5).acquire(blocking=False)
    assert one.lock("stocktaking", timeout=5).acquire(blocking=False)
    assert one.delete_pattern("*") > 0
one.clear()
assert two.get("a") is None
print("ok")
