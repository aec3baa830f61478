//! Route: the table that says which function answers which method and path.
//!
//! Paths are exact, or have `{name}` segments. They are percent-decoded once and then compared; whatever two readers
//! could take for different paths (an encoded slash, dot segments, empty segments) is no path of ours. `HEAD` follows
//! `GET`, `OPTIONS` is answered from the table.

use std::collections::HashMap;
use std::pin::Pin;

use hyper::Method;
use hyper::header::HeaderValue;

use super::form::{Plus, percent_decoded};
use super::metrics::Meters;
use super::{Door, Reply, Request};
use crate::error::Result;

/// What a route's function gives.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply>> + Send + 'a>>;

/// A route's function: `|door, request| Box::pin(login::show(door, request))`.
pub type Function = for<'a> fn(&'a Door, &'a Request) -> Answer<'a>;

/// Whom a route speaks to, which decides what its errors look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// People: HTML to whoever accepts it. `NotSignedIn` leads to the sign-in page.
    Page,
    /// Programs: `application/problem+json`.
    Json,
}

/// Which bodies a route reads. Anything else is 415 before the function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// None that matters: an empty one, or JSON that is ignored.
    Nothing,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
    /// Either of the two above.
    JsonOrForm,
    /// Whatever comes is left unread, and any method will do: they are those of a request that a proxy asks about.
    Unread,
    /// `application/merge-patch+json` (RFC 7396) or `application/json`.
    MergePatch,
}

/// What decides who asks, where a request changes something: whoever sends a header needs no rule about where it was
/// sent from, since no other site's page can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Cookies, or nothing.
    Cookie,
    /// A token if one was sent, and cookies otherwise.
    CookieOrToken,
    /// A header, whatever else was sent.
    Header,
}

/// One row of the table.
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub kind: Kind,
    pub takes: Takes,
    pub by: By,
    pub function: Function,
}

impl Route {
    /// A route for people. `POST` takes a form.
    pub fn page(method: Method, path: &'static str, function: Function) -> Self {
        let takes = if method == Method::POST { Takes::Form } else { Takes::Nothing };
        Self { method, path, kind: Kind::Page, takes, by: By::Cookie, function }
    }

    /// A route for proxies that ask about another request.
    pub fn check(path: &'static str, function: Function) -> Self {
        Self::json(Method::GET, path, Takes::Unread, function)
    }

    /// A route for programs.
    pub fn json(method: Method, path: &'static str, takes: Takes, function: Function) -> Self {
        Self { method, path, kind: Kind::Json, takes, by: By::Cookie, function }
    }

    /// The same, where this decides who asks.
    pub fn by(self, by: By) -> Self {
        Self { by, ..self }
    }
}

/// All routes, ready to be looked up.
pub struct Table {
    /// By length and text, so that a lookup is one comparison or two of few bytes.
    exact: Vec<(&'static str, Node)>,
    patterns: Vec<(Vec<Segment>, Node)>,
    /// Counts what no route answers.
    pub stray: Meters,
}

/// A path and the methods that it answers.
pub struct Node {
    rows: Vec<Row>,
    /// What it answers, as `Allow` says it.
    pub allow: HeaderValue,
}

/// A route with its counters.
pub struct Row {
    pub route: Route,
    pub meters: Meters,
}

/// What a lookup gives.
pub enum Found<'t> {
    /// A route, and the decoded values of its `{name}` segments.
    Row(&'t Row, Vec<(&'static str, String)>),
    /// A path of ours that does not answer this method.
    WrongMethod(&'t Node),
    /// No path of ours.
    Nothing,
}

enum Segment {
    Fixed(&'static str),
    Named(&'static str),
}

impl Table {
    /// A table of `routes`.
    ///
    /// # Panics
    /// When two routes have the same method and path: a mistake in the program that any start shows.
    pub fn new(routes: Vec<Route>) -> Self {
        let mut nodes: HashMap<&'static str, Vec<Row>> = HashMap::new();
        for route in routes {
            let rows = nodes.entry(route.path).or_default();
            let twice = rows.iter().any(|row| row.route.method == route.method);
            assert!(!twice, "two routes for {} {}", route.method, route.path);
            let meters = Meters::of(metric_method(&route.method), route.path);
            rows.push(Row { route, meters });
        }
        let (patterns, exact): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|(path, _)| path.contains('{'));
        let mut exact: Vec<_> = exact.into_iter().map(|(path, rows)| (path, Node::new(rows))).collect();
        exact.sort_unstable_by_key(|(path, _)| order(path));
        Self {
            exact,
            patterns: patterns.into_iter().map(|(path, rows)| (segments(path), Node::new(rows))).collect(),
            stray: Meters::of("other", "other"),
        }
    }

    /// The route for a method and a path as sent.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        // what a program sends is nearly always written exactly as in the table
        if let Some(node) = self.exactly(path) {
            return node.answer(method, Vec::new());
        }
        let Some(path) = plain(path) else { return Found::Nothing };
        if let Some(node) = self.exactly(&path) {
            return node.answer(method, Vec::new());
        }
        for (segments, node) in &self.patterns {
            if let Some(params) = matched(segments, &path) {
                return node.answer(method, params);
            }
        }
        Found::Nothing
    }

    fn exactly(&self, path: &str) -> Option<&Node> {
        let at = self.exact.binary_search_by_key(&order(path), |(path, _)| order(path)).ok()?;
        Some(&self.exact[at].1)
    }
}

/// Length first: most paths differ there already.
fn order(path: &str) -> (usize, &str) {
    (path.len(), path)
}

impl Node {
    fn new(rows: Vec<Row>) -> Self {
        let mut methods: Vec<&str> = rows.iter().map(|row| row.route.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        let allow = HeaderValue::from_str(&methods.join(", ")).expect("method names are header text");
        Self { rows, allow }
    }

    fn answer(&self, method: &Method, params: Vec<(&'static str, String)>) -> Found<'_> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        match self.rows.iter().find(|row| row.route.method == *method || row.route.takes == Takes::Unread) {
            Some(row) => Found::Row(row, params),
            None => Found::WrongMethod(self),
        }
    }
}

/// Metric labels must be few and static.
fn metric_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn segments(path: &'static str) -> Vec<Segment> {
    let segment = |part: &'static str| match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
        Some(name) => Segment::Named(name),
        None => Segment::Fixed(part),
    };
    path.split('/').map(segment).collect()
}

fn matched(segments: &[Segment], path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut params = Vec::new();
    let mut parts = path.split('/');
    for segment in segments {
        let part = parts.next()?;
        match segment {
            Segment::Fixed(fixed) if *fixed == part => {}
            Segment::Named(name) if !part.is_empty() => params.push((*name, part.to_owned())),
            _ => return None,
        }
    }
    parts.next().is_none().then_some(params)
}

/// The path decoded once; `None` when another reader could decode or resolve it to something else.
fn plain(path: &str) -> Option<String> {
    let slashes = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'/').count();
    let decoded = percent_decoded(path.as_bytes(), Plus::IsPlus)?;
    if slashes(&decoded) != slashes(path.as_bytes()) {
        return None;
    }
    let decoded = String::from_utf8(decoded).ok()?;
    let odd = decoded.chars().any(|c| c.is_control() || matches!(c, '\\' | '%'));
    let dots = decoded.split('/').any(|part| matches!(part, "." | ".."));
    (!odd && !dots && !decoded.contains("//") && decoded.starts_with('/')).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;

    const FUNCTION: Function = |_, _| Box::pin(async { Ok(reply::no_content()) });

    fn table() -> Table {
        Table::new(vec![
            Route::page(Method::GET, "/", FUNCTION),
            Route::page(Method::GET, "/login", FUNCTION),
            Route::page(Method::POST, "/login", FUNCTION),
            Route::json(Method::DELETE, "/things/{id}", Takes::Nothing, FUNCTION),
            Route::json(Method::DELETE, "/things", Takes::Nothing, FUNCTION),
        ])
    }

    fn found(method: Method, path: &str) -> String {
        match table().find(&method, path) {
            Found::Row(row, params) => {
                let params: String = params.iter().map(|(name, value)| format!(" {name}={value}")).collect();
                format!("{} {}{params}", row.route.method, row.route.path)
            }
            Found::WrongMethod(node) => format!("not that: {}", node.allow.to_str().unwrap()),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn exact_paths_and_named_segments_are_found() {
        assert_eq!(found(Method::GET, "/"), "GET /");
        assert_eq!(found(Method::POST, "/login"), "POST /login");
        assert_eq!(found(Method::DELETE, "/things"), "DELETE /things");
        assert_eq!(found(Method::DELETE, "/things/a-b_c"), "DELETE /things/{id} id=a-b_c");
    }

    #[test]
    fn head_follows_get_and_other_methods_are_told_what_is_allowed() {
        assert_eq!(found(Method::HEAD, "/login"), "GET /login");
        assert_eq!(found(Method::PUT, "/login"), "not that: GET, HEAD, OPTIONS, POST");
        assert_eq!(found(Method::GET, "/things/1"), "not that: DELETE, OPTIONS");
        assert_eq!(found(Method::HEAD, "/things/1"), "not that: DELETE, OPTIONS");
        for method in [Method::TRACE, Method::CONNECT, Method::OPTIONS, Method::from_bytes(b"FOO").unwrap()] {
            assert_eq!(found(method, "/"), "not that: GET, HEAD, OPTIONS");
        }
    }

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(found(Method::GET, "/l%6Fgin"), "GET /login");
        assert_eq!(found(Method::DELETE, "/things/%C3%BC+x"), "DELETE /things/{id} id=\u{fc}+x");
        assert_eq!(found(Method::DELETE, "/things/%2561"), "nothing");
    }

    #[test]
    fn what_two_readers_could_differ_on_is_no_path() {
        let slashes = ["//", "/login/", "//login", "/%2Flogin", "/things/a%2fb", "/things/", "/things/a/b", ""];
        let dots = ["/./login", "/x/../login", "/%2e%2e/login", "/things/..", "/things/%2E", "/.", "."];
        let others = ["/things/a%5Cb", "/things/%00", "/things/%", "/things/%zz", "/things/%ff", "/things/%0d%0a"];
        let strange = ["/Login", "*", "login", "/login;x", "/login%20", "/{id}", "/things/%252e"];
        for path in slashes.iter().chain(&dots).chain(&others).chain(&strange) {
            assert_eq!(found(Method::DELETE, path), "nothing", "{path}");
        }
    }

    #[test]
    #[should_panic(expected = "two routes for GET /login")]
    fn a_route_stands_once() {
        let row = Route::page(Method::GET, "/login", FUNCTION);
        Table::new(vec![row.clone(), row]);
    }
}
