"""A service in Flask whose `session` is the very session of Sojourn's pages.

    pip install flask redis
    sojourn app add flask --prefix sess:            gives the user and the password in REDIS
    REDIS=redis://flask:…@localhost:6379 SECRET=… python flask_app.py
"""

import base64
import hashlib
import hmac
import json
import os
from urllib.parse import quote, unquote

import flask
import redis
from flask.sessions import SessionInterface, SessionMixin

SOJOURN = os.environ.get("SOJOURN", "http://localhost:3000")
SECRET = os.environ["SECRET"].encode()
PORT = int(os.environ.get("PORT", "4001"))
door = redis.Redis.from_url(os.environ.get("REDIS", "redis://localhost:6379"))


def key(cookie):
    """The session's key, if the cookie is signed by our secret: `s:<id>.<HMAC-SHA256 in base64, unpadded>`."""
    scheme, _, signed = unquote(cookie).partition(":")
    sid, _, given = signed.rpartition(".")
    ours = base64.b64encode(hmac.digest(SECRET, sid.encode(), hashlib.sha256)).decode().rstrip("=")
    return f"sess:{sid}" if scheme == "s" and sid and hmac.compare_digest(ours.encode(), given.encode()) else None


class Shared(dict, SessionMixin):
    modified = False

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        self.modified = True


class SharedSessions(SessionInterface):
    def open_session(self, app, request):
        found = key(request.cookies.get("sojourn", ""))
        held = found and door.get(found)
        session = Shared(json.loads(held) if held else {})
        session.key = found if held else None
        return session

    def save_session(self, app, session, response):
        # only what is still there (XX), and its deadline stays (KEEPTTL)
        if session.modified and session.key:
            door.set(session.key, json.dumps(dict(session)), xx=True, keepttl=True)


app = flask.Flask(__name__)
app.session_interface = SharedSessions()


@app.get("/")
def index():
    user = flask.session.get("passport", {}).get("user")
    if user is None:
        return flask.redirect(f"{SOJOURN}/login?next=" + quote(flask.request.url, safe=""), 303)
    return {"user": {"id": user}, "data": {k: v for k, v in flask.session.items() if k not in ("cookie", "passport")}}


@app.post("/notes")
def notes():
    flask.session["notes"] = [*flask.session.get("notes", []), flask.request.form["note"]]
    return flask.redirect("/", 303)


@app.post("/logout")
def logout():
    if flask.session.key:
        door.delete(flask.session.key)
    return flask.redirect(SOJOURN, 303)


if __name__ == "__main__":
    print(f"http://localhost:{PORT}", flush=True)
    app.run("127.0.0.1", PORT)
