"""starsessions in a Starlette app: starsessions_store.py HOST PORT [PORT2 | -] [USER PASSWORD]"""

import asyncio

import httpx
from place import place
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starsessions import SessionAutoloadMiddleware, SessionMiddleware
from starsessions.stores.redis import RedisStore

(at,) = place()


async def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return JSONResponse({"count": request.session["count"]})


async def look(request):
    return JSONResponse({"count": request.session.get("count", 0)})


async def end(request):
    request.session.clear()
    return JSONResponse({})


def app(node):
    store = RedisStore(at.url(node), prefix="star:")
    sessions = Middleware(SessionMiddleware, store=store, cookie_https_only=False, lifetime=3600, rolling=True)
    routes = [Route("/count", count), Route("/look", look), Route("/end", end)]
    return Starlette(routes=routes, middleware=[sessions, Middleware(SessionAutoloadMiddleware)])


async def main():
    jar = httpx.Cookies()
    one, two = (
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app(node)), base_url="http://app", cookies=jar)
        for node in (0, 1)
    )

    async def get(web, path):
        web.cookies = jar
        answer = await web.get(path)
        for name, value in answer.cookies.items():
            jar.set(name, value)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await get(one, "/count") == {"count": 1}
    assert await get(two, "/count") == {"count": 2}
    assert await get(one, "/look") == {"count": 2}
    redis = at.client(0)
    (key,) = redis.scan_iter("star:*")
    assert 3500 < redis.ttl(key) <= 3600
    await get(two, "/end")
    assert redis.exists(key) == 0
    assert await get(one, "/look") == {"count": 0}


asyncio.run(main())
print("ok")
