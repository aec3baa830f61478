"""Flask-Session (0.5 and 0.8) over redis-py: flask_session_store.py PROTOCOL HOST PORT [PORT2 | -] [USER PASSWORD]"""

import flask
from flask_session import Session
from place import place

protocol, at = place(1)


def client(node):
    if protocol == "named":
        return at.client(node, client_name="blog", health_check_interval=30)
    return at.client(node, **({} if protocol == "default" else {"protocol": int(protocol)}))


def app(node):
    web = flask.Flask(__name__)
    web.config.update(SESSION_TYPE="redis", SESSION_REDIS=client(node), PERMANENT_SESSION_LIFETIME=3600)
    Session(web)

    @web.get("/count")
    def count():
        flask.session["count"] = flask.session.get("count", 0) + 1
        return {"count": flask.session["count"]}

    @web.get("/look")
    def look():
        return {"count": flask.session.get("count", 0), "user": flask.session.get("_user_id")}

    @web.get("/login")
    def login():
        if hasattr(web.session_interface, "regenerate"):
            web.session_interface.regenerate(flask.session)
        flask.session["_user_id"] = "7"
        return {}

    @web.get("/logout")
    def logout():
        flask.session.clear()
        return {}

    return web


one, two = app(0), app(1)
ada = one.test_client()


def get(web, path):
    ada.application = web
    answer = ada.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json


assert get(one, "/count") == {"count": 1}
assert get(two, "/count") == {"count": 2}
cookie = ada.get_cookie("session").value
assert 3500 < at.client(0).ttl(f"session:{cookie}") <= 3600
get(one, "/login")
assert get(two, "/look") == {"count": 2, "user": "7"}
cookie = ada.get_cookie("session").value
get(two, "/logout")
assert at.client(0).exists(f"session:{cookie}") == 0
assert get(one, "/look") == {"count": 0, "user": None}
print("ok")
