"""Litestar's RedisStore, which renews by a script: litestar_store.py HOST PORT [PORT2 | -] [USER PASSWORD]"""

import asyncio

from litestar.stores.redis import RedisStore
from place import place

(at,) = place()


async def main():
    one, two = (RedisStore(at.aio(node), namespace="LITESTAR") for node in (0, 1))
    await one.set("a", b"\x00value\xff", expires_in=3600)
    assert await two.get("a") == b"\x00value\xff"
    assert await two.exists("a") and not await two.exists("b")
    assert 3500 < await one.expires_in("a") <= 3600
    await one.set("a", b"shorter", expires_in=10)
    assert await two.get("a", renew_for=1800) == b"shorter"
    assert 1700 < await one.expires_in("a") <= 1800
    assert await one.get("nothing", renew_for=5) is None
    await two.set("b", "text")
    assert await one.expires_in("b") == -1
    await one.delete("a")
    assert await two.get("a") is None
    for number in range(150):
        await one.set(f"many{number}", b"x")
    await two.delete_all()
    assert not await one.exists("b") and not await one.exists("many149")


asyncio.run(main())
print("ok")
