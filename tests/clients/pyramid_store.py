"""pyramid-session-redis, which claims its ids by WATCH: pyramid_store.py HOST PORT [PORT2 | -] [USER PASSWORD]"""

from place import place
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid_session_redis import RedisSessionFactory

(at,) = place()


def app(node):
    def count(request):
        request.session["count"] = request.session.get("count", 0) + 1
        return {"count": request.session["count"]}

    def look(request):
        return {"count": request.session.get("count", 0), "id": str(request.session.session_id)}

    def end(request):
        request.session.invalidate()
        return {}

    with Configurator() as config:
        config.set_session_factory(RedisSessionFactory("keyboard cat", redis_url=at.url(node, 0), timeout=3600))
        for view in (count, look, end):
            config.add_route(view.__name__, f"/{view.__name__}")
            config.add_view(view, route_name=view.__name__, renderer="json")
        return config.make_wsgi_app()


one, two, jar = app(0), app(1), {}


def get(web, path):
    answer = Request.blank(path, cookies=jar).get_response(web)
    assert answer.status_code == 200, answer.text
    for line in answer.headers.getall("Set-Cookie"):
        name, value = line.split(";")[0].split("=", 1)
        jar[name] = value
    return answer.json


assert get(one, "/count") == {"count": 1}
assert get(two, "/count") == {"count": 2}
first = get(one, "/look")
assert first["count"] == 2
redis = at.client(0)
assert 0 < redis.ttl(first["id"]) <= 3600
get(two, "/end")
assert redis.exists(first["id"]) == 0
assert get(one, "/look")["count"] == 0
print("ok")
