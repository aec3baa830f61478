//! Raft: how the nodes agree. The only room that knows openraft and redb.

pub mod store;
pub mod types;
