//! Scrape: the page that Prometheus reads, on a listener of its own, since it is nobody else's to see.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Method, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;

use super::accept::{self, Port};
use super::metrics;

/// Answers `GET /metrics`, and nothing else, until `stop` is ready.
pub async fn serve(port: Port, stop: impl Future<Output = ()>) {
    let handle = metrics::install();
    accept::serve(port, stop, |_| page(handle)).await;
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
