//! Metrics: what Prometheus reads, on a listener of its own.
//!
//! Counting must not slow down what it counts: each route has its handles made once, when the table is built. Install
//! the recorder before any room makes a handle, since handles that were made earlier count into nothing.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Method, Response, StatusCode};
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::accept::{self, Port};

/// How often recorded durations are folded into buckets, so that an unread page does not grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Upper bounds of the duration buckets, seconds.
const SECONDS: [f64; 8] = [0.0005, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];

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

/// Answers `GET /metrics`, and nothing else, until `stop` is ready.
pub async fn serve(port: Port, stop: impl Future<Output = ()>) {
    let handle = install();
    accept::serve(port, stop, |_| page(handle)).await;
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

type Page = Response<Full<Bytes>>;

fn page(
    handle: &'static PrometheusHandle,
) -> impl Service<hyper::Request<Incoming>, Response = Page, Error = Infallible, Future: Send> + Send {
    service_fn(move |request: hyper::Request<Incoming>| async move {
        let mut page = Page::default();
        let status = match (request.uri().path(), request.method()) {
            ("/metrics", &Method::GET | &Method::HEAD) => {
                *page.body_mut() = Full::from(handle.render());
                page.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
                StatusCode::OK
            }
            ("/metrics", _) => {
                page.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
                StatusCode::METHOD_NOT_ALLOWED
            }
            _ => StatusCode::NOT_FOUND,
        };
        *page.status_mut() = status;
        Ok(page)
    })
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
