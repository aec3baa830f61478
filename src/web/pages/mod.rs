//! Pages: what people see.

pub mod error;

use super::Route;

/// The rows of the table that are for people.
pub fn routes() -> Vec<Route> {
    Vec::new()
}
