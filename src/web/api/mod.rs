//! Api: the JSON API, for services and scripts.
//!
//! Bodies are plain structs from which the OpenAPI document is generated, so the two cannot drift apart. A session is
//! named by its handle everywhere: the session id leaves this process in `Set-Cookie` alone (ASVS 3.3.4).

pub mod body;
pub mod events;
pub mod introspect;
pub mod openapi;
pub mod profile;
pub mod session;
pub mod signin;
pub mod tokens;

use hyper::Method;

use super::route::By;
use super::{Route, Takes};

/// The rows of the table that are for programs.
pub fn routes() -> Vec<Route> {
    use Takes::{Form, Json, JsonOrForm, MergePatch, Nothing};
    let get = |path, function| Route::json(Method::GET, path, Nothing, function);
    let delete = |path, function| Route::json(Method::DELETE, path, Nothing, function);
    let post = |path, takes, function| Route::json(Method::POST, path, takes, function);
    vec![
        get("/profile", |d, r| Box::pin(profile::profile(d, r))),
        get("/api/v1/profile", |d, r| Box::pin(profile::profile_v1(d, r))),
        get("/api/v1/session", |d, r| Box::pin(session::show(d, r))),
        Route::json(Method::PATCH, "/api/v1/session", MergePatch, |d, r| Box::pin(session::patch(d, r))),
        get("/api/v1/sessions", |d, r| Box::pin(session::list(d, r))),
        delete("/api/v1/sessions", |d, r| Box::pin(session::end_others(d, r))).by(By::CookieOrToken),
        delete("/api/v1/sessions/{handle}", |d, r| Box::pin(session::end(d, r))).by(By::CookieOrToken),
        post("/api/v1/signup", JsonOrForm, |d, r| Box::pin(signin::signup(d, r))),
        post("/api/v1/signin", JsonOrForm, |d, r| Box::pin(signin::signin(d, r))),
        post("/api/v1/signout", Nothing, |d, r| Box::pin(signin::signout(d, r))),
        get("/api/v1/tokens", |d, r| Box::pin(tokens::list(d, r))),
        post("/api/v1/tokens", Json, |d, r| Box::pin(tokens::add(d, r))),
        delete("/api/v1/tokens/{id}", |d, r| Box::pin(tokens::end(d, r))),
        post("/oauth/introspect", Form, |d, r| Box::pin(introspect::introspect(d, r))).by(By::Header),
        post("/api/v1/password", Json, |d, r| Box::pin(profile::password(d, r))),
        get("/api/v1/events", |d, r| Box::pin(events::stream(d, r))),
        get("/api/v1/openapi.json", |d, r| Box::pin(openapi::document(d, r))),
    ]
}
