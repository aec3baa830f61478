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

use std::pin::Pin;
use std::sync::{Arc, Once};

use hyper::Method;
use serde::Serialize;

use crate::error::Result;
use crate::identity::{Identity, Visitor};
pub use authz::Sightings;
pub use problem::Problem;
pub use reply::Reply;
pub use request::Request;
pub use route::{Route, Takes};
pub use serve::{Site, serve};
pub use settings::Settings;

/// Whoever can ask all nodes how they are.
pub trait Cluster: Send + Sync + 'static {
    /// Every node, each asked now.
    fn nodes(&self) -> Pin<Box<dyn Future<Output = Vec<ClusterNode>> + Send + '_>>;
}

/// A node of the cluster, as this one sees it. What it says of itself is `None` when it does not answer.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterNode {
    pub id: String,
    /// `leader`, `voter`, `learner`.
    pub role: &'static str,
    /// Where other nodes reach it; empty: nowhere.
    pub address: String,
    pub is_this: bool,
    /// Index of the last log entry that it has applied.
    pub applied: Option<u64>,
    /// How many entries it is behind the one that is furthest.
    pub lag: Option<u64>,
    pub version: Option<String>,
}

/// What every route's function is given.
pub struct Door {
    pub identity: Arc<Identity>,
    pub cluster: Arc<dyn Cluster>,
    pub settings: Settings,
    /// What a doctor's requests brought to the sign-in check.
    pub sightings: Arc<Sightings>,
    /// Said to the operator once: somebody asks who may pass, and is no trusted proxy.
    strangers: Once,
}

impl Door {
    /// A door to this room.
    pub fn new(identity: Arc<Identity>, cluster: Arc<dyn Cluster>, settings: Settings) -> Self {
        Self { identity, cluster, settings, sightings: Arc::default(), strangers: Once::new() }
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
        Self::over(Identity::unasked(), public_url)
    }

    /// A door to this room, in a cluster that nobody can ask.
    fn over(room: Identity, public_url: &str) -> Self {
        struct Silent;
        impl Cluster for Silent {
            fn nodes(&self) -> Pin<Box<dyn Future<Output = Vec<ClusterNode>> + Send + '_>> {
                Box::pin(async { Vec::new() })
            }
        }
        Self::new(Arc::new(room), Arc::new(Silent), Settings::of(public_url))
    }
}
