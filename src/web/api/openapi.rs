//! Openapi: the JSON API described, from the code itself.
//!
//! Paths come from the attributes on the routes' functions, schemas from the bodies' structs. A test holds the
//! document and the route table against each other.

use std::sync::LazyLock;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder, Responses};
use utoipa::{Modify, OpenApi};

use super::{events, introspect, profile, session, signin, tokens};
use crate::error::Result;
use crate::web::{Door, Reply, Request, authz, health, reply};

#[derive(OpenApi)]
#[openapi(
    modifiers(&Credentials, &Refusals),
    info(title = "Sojourn", description = "Sign-in and shared sessions for a fleet of services.", license(name = "MIT OR Apache-2.0")),
    paths(
        signin::signup,
        signin::signin,
        signin::signout,
        session::show,
        session::patch,
        session::list,
        session::end,
        session::end_others,
        profile::profile,
        profile::profile_v1,
        profile::password,
        events::stream,
        tokens::list,
        tokens::add,
        tokens::end,
        introspect::introspect,
        authz::auth_request,
        authz::forward_auth,
        authz::verify,
        authz::oauth2_auth,
        health::healthz,
        health::readyz,
        document,
    ),
    tags(
        (name = "account", description = "Who somebody is."),
        (name = "session", description = "That they are signed in. The cookie carries it; bodies name it by its handle."),
        (name = "events", description = "What happens to people's sessions, for services that keep something open."),
        (name = "token", description = "For programs that act for somebody, and for apps that are shown a token."),
        (name = "proxies", description = "Whether a request may pass to a service behind a proxy. Any method will do; only trusted proxies are answered."),
        (name = "health", description = "For machines that watch machines."),
    )
)]
struct Document;

/// What most operations want to see, what those on the account as a whole want besides, and what programs and apps show.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let text = "set by sign-in; named `__Host-sojourn` on https, `__Secure-sojourn` with a domain";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description("sojourn", text));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("session", SecurityScheme::ApiKey(cookie));
        let text = "set by sign-in, for this host alone; named `__Host-sojourn-own` on https";
        let own = ApiKey::Cookie(ApiKeyValue::with_description("sojourn-own", text));
        components.add_security_scheme("own", SecurityScheme::ApiKey(own));
        let token = Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("sjt_…");
        let token = token.description(Some("a personal access token, of the scope that is named")).build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let app = Http::builder().scheme(HttpAuthScheme::Basic).description(Some("an app's name and password")).build();
        components.add_security_scheme("app", SecurityScheme::Http(app));
    }
}

/// What is refused before a route's function runs, or wherever somebody is looked up: said once for all operations.
struct Refusals;

/// Of whatever looks up who is asking.
const LOOKING: [(&str, &str); 2] =
    [("400", "two different session cookies were sent"), ("503", "not done, and safe to send again")];
/// Of whatever changes something.
const CHANGING: [(&str, &str); 7] = [
    ("400", "the body cannot be read, or two different session cookies were sent"),
    ("403", "sent from another site"),
    ("408", "the body came too slowly"),
    ("413", "the body is longer than 64 KiB"),
    ("415", "the body is of another type"),
    ("503", "not done, and safe to send again"),
    ("504", "it may or may not have been done"),
];

impl Modify for Refusals {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            if let Some(get) = item.get.as_mut().filter(|get| get.security.is_some()) {
                add(&mut get.responses, &LOOKING);
            }
            for changing in [&mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten() {
                add(&mut changing.responses, &CHANGING);
            }
        }
    }
}

fn add(responses: &mut Responses, refusals: &[(&str, &str)]) {
    for (status, why) in refusals {
        match responses.responses.get_mut(*status) {
            Some(RefOr::T(said)) if *status == "403" => said.description = format!("{}, or {why}", said.description),
            Some(_) => {}
            None => {
                let problem = Content::new(Some(Ref::from_schema_name("Problem")));
                let response = ResponseBuilder::new().description(*why).content("application/problem+json", problem);
                responses.responses.insert((*status).to_owned(), response.build().into());
            }
        }
    }
}

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(serde_json::to_vec(&Document::openapi()).expect("the document is plain data")));

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "health", operation_id = "getOpenapi", responses(
    (status = 200, description = "OpenAPI", body = serde_json::Value),
))]
pub async fn document(_door: &Door, _request: &Request) -> Result<Reply> {
    let mut reply = reply::empty(StatusCode::OK);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *reply.body_mut() = DOCUMENT.clone();
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::web;

    fn document() -> Value {
        serde_json::from_slice(&DOCUMENT).unwrap()
    }

    #[test]
    fn the_document_and_the_routes_agree_both_ways() {
        let ours = |path: &str| {
            let others = ["/profile", "/healthz", "/readyz", "/oauth/introspect", "/oauth2/auth"];
            path.starts_with("/api/") || others.contains(&path)
        };
        let routes: BTreeSet<_> = web::routes()
            .iter()
            .filter(|route| ours(route.path))
            .map(|route| format!("{} {}", route.method.as_str().to_lowercase(), route.path))
            .collect();
        let document = document();
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
            .collect();
        assert_eq!(routes, described);
        assert!(routes.len() > 10);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| match (key.as_str(), value) {
                    ("$ref", Value::String(target)) => out.push(target),
                    _ => references(value, out),
                }),
                Value::Array(items) => items.iter().for_each(|item| references(item, out)),
                _ => {}
            }
        }
        let document = document();
        let mut targets = Vec::new();
        references(&document, &mut targets);
        assert!(targets.contains(&"#/components/schemas/Problem"));
        for target in targets {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
    }

    #[test]
    fn what_is_refused_everywhere_is_said_everywhere() {
        let document = document();
        let mut seen = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let says = |status: &str| operation["responses"][status]["description"].is_string();
                let wanted: &[&str] = match method.as_str() {
                    "get" if operation.get("security").is_none() => continue,
                    "get" => &["400", "401", "503"],
                    _ => &["400", "403", "408", "413", "415", "503", "504"],
                };
                assert!(wanted.iter().all(|status| says(status)), "{method} {path}");
                seen += 1;
            }
        }
        assert!(seen >= 10);
        let responses = |path: &str, method: &str| document["paths"][path][method]["responses"].clone();
        for (path, method) in [
            ("/api/v1/session", "patch"),
            ("/api/v1/password", "post"),
            ("/api/v1/signin", "post"),
            ("/api/v1/signup", "post"),
        ] {
            assert!(responses(path, method)["429"].is_object(), "{method} {path}");
        }
        let closed = responses("/api/v1/signup", "post")["403"]["description"].clone();
        assert_eq!(closed, "sign-up is closed, or sent from another site");
    }

    #[test]
    fn no_operation_is_without_words_or_shares_its_name() {
        let mut names = BTreeSet::new();
        for (path, item) in document()["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                assert!(operation["summary"].is_string(), "{method} {path}");
                assert!(names.insert(operation["operationId"].to_string()), "{method} {path}");
                assert!(operation["responses"].as_object().is_some_and(|r| !r.is_empty()), "{method} {path}");
            }
        }
    }
}
