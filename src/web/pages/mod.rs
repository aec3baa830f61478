//! Pages: what people see.

use super::{Door, Problem, Reply, Route, reply};

/// The rows of the table that are for people.
pub fn routes() -> Vec<Route> {
    Vec::new()
}

/// A page that says what went wrong.
pub fn error(_door: &Door, problem: &Problem) -> Reply {
    reply::text(problem.status, problem.detail.clone().into_owned())
}
