//! Metrics: what is counted for Prometheus.
//!
//! Counting must not slow down what it counts: each route has its handles made once, when the table is built. Install
//! the recorder before any room makes a handle, since handles that were made earlier count into nothing.

use std::sync::OnceLock;
use std::time::Duration;

use hyper::StatusCode;
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the duration buckets, seconds.
const SECONDS: [f64; 8] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

/// How often recorded durations are folded into buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

const REQUESTS: &str = "sojourn_http_requests_total";
const DURATIONS: &str = "sojourn_http_request_seconds";
const CONNECTIONS: &str = "sojourn_http_connections";

/// The process's recorder; installs it at the first call.
pub fn install() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("there are buckets");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder was installed first; the metrics page stays empty");
        }
        metrics::describe_counter!(REQUESTS, "requests answered, by route and class of status");
        metrics::describe_histogram!(DURATIONS, metrics::Unit::Seconds, "from the request's head to the reply");
        metrics::describe_gauge!(CONNECTIONS, "connections that are open, on all HTTP listeners");
        handle
    })
}

/// The handles of one route.
#[derive(Clone)]
pub struct Meters {
    classes: [Counter; 5],
    seconds: Histogram,
}

impl Meters {
    /// Handles for `method` on the path pattern `route`; never a path as sent, of which there is no end.
    pub fn of(method: &'static str, route: &'static str) -> Self {
        install();
        let class = |status: &'static str| metrics::counter!(REQUESTS, "method" => method, "route" => route, "status" => status);
        Self {
            classes: [class("1xx"), class("2xx"), class("3xx"), class("4xx"), class("5xx")],
            seconds: metrics::histogram!(DURATIONS, "method" => method, "route" => route),
        }
    }

    /// Counts one answer.
    pub fn record(&self, status: StatusCode, took: Duration) {
        if let Some(counter) = self.classes.get(usize::from(status.as_u16() / 100).wrapping_sub(1)) {
            counter.increment(1);
        }
        self.seconds.record(took.as_secs_f64());
    }
}

/// The gauge of open connections.
pub(super) fn connections() -> Gauge {
    install();
    metrics::gauge!(CONNECTIONS)
}

/// Folds what is recorded until `stop` is ready, whether or not anybody reads it: unfolded it grows by every request.
pub async fn keep_up(stop: impl Future<Output = ()>) {
    let handle = install();
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            handle.run_upkeep();
        }
    };
    tokio::select! {
        () = stop => {}
        () = upkeep => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_and_class() {
        let meters = Meters::of("GET", "/counted");
        meters.record(StatusCode::OK, Duration::from_millis(2));
        meters.record(StatusCode::NO_CONTENT, Duration::from_millis(2));
        meters.record(StatusCode::NOT_FOUND, Duration::from_millis(2));
        let text = install().render();
        let count = |class: &str| format!("{REQUESTS}{{method=\"GET\",route=\"/counted\",status=\"{class}\"}}");
        assert!(text.contains(&format!("{} 2", count("2xx"))), "{text}");
        assert!(text.contains(&format!("{} 1", count("4xx"))));
        assert!(text.contains(&format!("{DURATIONS}_bucket{{method=\"GET\",route=\"/counted\",le=\"0.005\"}} 3")));
    }
}
