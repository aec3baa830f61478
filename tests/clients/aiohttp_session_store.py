"""aiohttp-session's RedisStorage: aiohttp_session_store.py HOST PORT [PORT2 | -] [USER PASSWORD]"""

import asyncio

import aiohttp
import aiohttp_session
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp_session.redis_storage import RedisStorage
from place import place

(at,) = place()


async def count(request):
    session = await aiohttp_session.get_session(request)
    session["count"] = session.get("count", 0) + 1
    return web.json_response({"count": session["count"]})


async def look(request):
    session = await aiohttp_session.get_session(request)
    return web.json_response({"count": session.get("count", 0)})


async def end(request):
    (await aiohttp_session.get_session(request)).invalidate()
    return web.json_response({})


async def server(node):
    app = web.Application()
    aiohttp_session.setup(app, RedisStorage(at.aio(node), max_age=3600))
    app.add_routes([web.get("/count", count), web.get("/look", look), web.get("/end", end)])
    started = TestServer(app)
    await started.start_server()
    return started


async def main():
    servers = [await server(0), await server(1)]
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as ada:

        async def get(node, path):
            async with ada.get(servers[node].make_url(path)) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        assert await get(0, "/count") == {"count": 1}
        assert await get(1, "/count") == {"count": 2}
        redis = at.client(0)
        keys = list(redis.scan_iter("AIOHTTP_SESSION_*"))
        assert 3500 < redis.ttl(keys[0]) <= 3600
        await get(1, "/end")
        # it deletes nothing, but empties
        assert await get(0, "/look") == {"count": 0}
        redis.delete(*keys)


asyncio.run(main())
print("ok")
