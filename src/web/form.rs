//! Form: the fields of a form or a query string, read strictly.
//!
//! Browsers send well-formed fields once each. Whatever is doubled, badly encoded or not UTF-8 is refused, since two
//! readers could take it for different things.

use crate::error::Result;

/// Fields by name.
#[derive(Debug, Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// A text field; empty when it is absent.
    ///
    /// # Errors
    /// `Malformed` when it holds a NUL.
    pub fn text(&self, _name: &str) -> Result<&str> {
        todo!()
    }
    /// A password: taken as it is.
    pub fn secret(&self, _name: &str) -> &str {
        todo!()
    }
    /// Whether a box was ticked.
    pub fn flag(&self, _name: &str) -> bool {
        todo!()
    }
    /// Whether the field is there at all.
    pub fn has(&self, _name: &str) -> bool {
        todo!()
    }
}
