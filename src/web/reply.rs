//! Reply: what handlers answer.

use bytes::Bytes;

/// A whole reply.
pub type Reply = hyper::Response<Bytes>;
