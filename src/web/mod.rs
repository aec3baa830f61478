//! Web: the HTTP door. Pages for people, JSON for services, health for machines.
//!
//! A connection comes in through `accept`, a request walks through `serve` (route, origin rule, body, content type,
//! the route's own function) and leaves as a `Reply` that carries the security headers. Functions behind routes have
//! one form, `async fn name(door: &Door, request: &Request) -> Result<Reply>`; what an error looks like from outside
//! is decided in one place, `problem`.

pub mod accept;
pub mod api;
pub mod authz;
mod bearer;
mod credentials;
pub mod form;
pub mod forwarded;
pub mod headers;
pub mod health;
pub mod json;
pub mod metrics;
pub mod origin;
mod own_writes;
pub mod pages;
pub mod problem;
mod pulse;
pub mod reply;
pub mod request;
pub mod route;
pub mod scrape;
pub mod serve;
mod settings;

use std::sync::{Arc, Once};

use hyper::Method;

use crate::error::Result;
use crate::identity::{Identity, Visitor};
pub use authz::Sightings;
pub use problem::Problem;
pub use reply::Reply;
pub use request::Request;
pub use route::{Route, Takes};
pub use serve::{Site, serve};
pub use settings::Settings;

/// What every route's function is given.
pub struct Door {
    pub identity: Arc<Identity>,
    pub settings: Settings,
    /// What a doctor's requests brought to the sign-in check.
    pub sightings: Arc<Sightings>,
    /// Said to the operator once: somebody asks who may pass, and is no trusted proxy.
    strangers: Once,
}

impl Door {
    /// A door to this room.
    pub fn new(identity: Arc<Identity>, settings: Settings) -> Self {
        Self { identity, settings, sightings: Arc::default(), strangers: Once::new() }
    }

    /// Whose request this is, by its cookies. Creates nothing.
    ///
    /// # Errors
    /// Those of [`Identity::visitor`].
    pub async fn visitor(&self, request: &Request) -> Result<Visitor> {
        self.identity.visitor(&request.cookies(&self.settings)).await
    }
}

/// Every route of the web listener.
fn routes() -> Vec<Route> {
    let health = [
        Route::json(Method::GET, "/healthz", Takes::Nothing, |d, r| Box::pin(health::healthz(d, r))),
        Route::json(Method::GET, "/readyz", Takes::Nothing, |d, r| Box::pin(health::readyz(d, r))),
    ];
    api::routes().into_iter().chain(authz::routes()).chain(health).chain(pages::routes()).collect()
}

#[cfg(test)]
impl Door {
    /// A door to a room that knows nobody.
    fn unasked(public_url: &str) -> Self {
        Self::new(Arc::new(Identity::unasked()), Settings::of(public_url))
    }
}
