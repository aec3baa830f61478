//! Script.
use super::{Answered, Keyspace, reply::wrong};
use bytes::Bytes;
pub(super) fn eval(_: &mut Keyspace<'_, '_>, _: &[Bytes]) -> Answered {
    Err(wrong::syntax())
}
pub(super) fn eval_ro(_: &mut Keyspace<'_, '_>, _: &[Bytes]) -> Answered {
    Err(wrong::syntax())
}
