//! Scripts: `SCRIPT` and what is below it.

use bytes::Bytes;

use super::conversation::Conversation;
use crate::keyspace::{Reply, wrong};

impl Conversation {
    pub(super) async fn script(&mut self, args: &[Bytes]) -> Reply {
        let below = args[0].to_ascii_lowercase();
        match (below.as_slice(), &args[1..]) {
            (b"load", [body]) => {
                let loaded = self.door.keyspace.load_script(body).await;
                loaded.unwrap_or_else(|error| self.refused(&error))
            }
            (b"exists", shas @ [_, ..]) => {
                let mut known = Vec::with_capacity(shas.len());
                for sha in shas {
                    known.push(Reply::yes(self.door.keyspace.knows_script(sha).await));
                }
                Reply::Array(known)
            }
            (b"flush", []) => self.flush_scripts().await,
            (b"flush", [how]) if how.eq_ignore_ascii_case(b"ASYNC") || how.eq_ignore_ascii_case(b"SYNC") => {
                self.flush_scripts().await
            }
            (b"flush", [_]) => Reply::err("ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
            (b"kill", []) => Reply::err("NOTBUSY No scripts in execution right now."),
            (b"debug", [_]) => wrong::syntax(),
            _ => super::below::strange("script", &args[0]),
        }
    }

    async fn flush_scripts(&mut self) -> Reply {
        match self.door.keyspace.flush_scripts().await {
            Ok(()) => Reply::OK,
            Err(error) => self.refused(&error),
        }
    }
}
