//! Metrics: what is counted of the Redis door for Prometheus.

use metrics::{Counter, Gauge};

const COMMANDS: &str = "sojourn_redis_commands_total";
const ERRORS: &str = "sojourn_redis_errors_total";
const CONNECTIONS: &str = "sojourn_redis_connections";
const REFUSED: &str = "sojourn_redis_refused_total";

/// The handles, made once: counting must not slow down what it counts.
pub struct Meters {
    /// Commands that work on keys.
    pub keys: Counter,
    /// Commands that concern the connection.
    pub others: Counter,
    /// Commands that were answered with an error.
    pub errors: Counter,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were closed because of what they did.
    pub cut: Counter,
    /// Wrong passwords.
    pub wrong: Counter,
}

impl Meters {
    /// Handles of the recorder that is installed.
    pub fn new() -> Self {
        metrics::describe_counter!(COMMANDS, "commands at the Redis door, on keys or on the connection");
        metrics::describe_counter!(ERRORS, "commands at the Redis door that were answered with an error");
        metrics::describe_gauge!(CONNECTIONS, "connections that are open at the Redis door");
        metrics::describe_counter!(
            REFUSED,
            "connections that broke a bound of the Redis door, and wrong passwords there"
        );
        Self {
            keys: metrics::counter!(COMMANDS, "kind" => "keys"),
            others: metrics::counter!(COMMANDS, "kind" => "connection"),
            errors: metrics::counter!(ERRORS),
            connections: metrics::gauge!(CONNECTIONS),
            cut: metrics::counter!(REFUSED, "why" => "bound"),
            wrong: metrics::counter!(REFUSED, "why" => "password"),
        }
    }
}
