//! Operator: what commands on the control socket ask for, put to the rooms.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::copying::Copying;
use super::directory::half_backup;
use super::{cluster, credentials};
use crate::control::protocol::{
    self as told, Account, Health, ImportChunk, ImportFormat, Link, LiveSession, Purpose, Refused, Request, Response,
    Sighting, Status,
};
use crate::control::{self, Extent, Progress};
use crate::error::{Error, Result};
use crate::identity::{Identity, NewAccount, OneTimeLink, SessionView, SignUp, User, import};
use crate::limits;
use crate::log::{Answer, Log as _};
use crate::raft::RaftLog;
use crate::web::Sightings;

/// The desk where commands are answered.
pub struct Desk {
    pub identity: Arc<Identity>,
    pub log: Arc<RaftLog>,
    pub copying: Copying,
    pub sightings: Arc<Sightings>,
    pub data: PathBuf,
    pub started: Instant,
}

impl control::Operator for Desk {
    fn perform(&self, request: Request) -> Answer<'_, Result<Response>> {
        Box::pin(async move {
            match request {
                Request::Health => Ok(Response::Health(self.health().await)),
                Request::Status => self.status().await.map(Response::Status),
                Request::DoctorSeen { nonce } => Ok(Response::Sightings(self.sightings(&nonce))),
                Request::Backup(_) => Err(Error::Malformed("a backup is asked for on its own".into())),
                Request::ClusterStatus
                | Request::ClusterToken { .. }
                | Request::ClusterPromote { .. }
                | Request::ClusterRemove { .. }
                | Request::ClusterTransfer { .. }
                | Request::ClusterRotateSecret
                | Request::ClusterLeave => cluster::perform(&self.log, request).await,
                Request::AppAdd(_)
                | Request::AppList
                | Request::AppRemove { .. }
                | Request::AppRotate { .. }
                | Request::TokenAdd(_)
                | Request::TokenList { .. }
                | Request::TokenRemove { .. } => credentials::perform(&self.identity, request).await,
                Request::CopyKeys(chunk) => self.copying.write(chunk).await.map(Response::Copied),
                Request::SessionList { .. }
                | Request::SessionShow { .. }
                | Request::SessionRevoke { .. }
                | Request::SessionRevokeUser { .. } => self.sessions(request).await,
                _ => self.users(request).await,
            }
        })
    }

    /// In a task of its own: whoever asked may go away, and what was written for them must not stay.
    fn backup(&self, extent: Extent, progress: Progress) -> Answer<'_, Result<tokio::fs::File>> {
        Box::pin(async move {
            progress.tell(0, 1);
            if extent == Extent::Cluster {
                // a node may lag, and a leader that lost its majority may not know that there is another
                self.log.refresh().await?;
            }
            let (log, unnamed) = (self.log.clone(), Unnamed(half_backup(&self.data)));
            let task = tokio::spawn(async move {
                log.backup(&unnamed.0).await?;
                tokio::fs::File::open(&unnamed.0).await.map_err(|e| Error::broken("the backup", e))
            });
            let file = task.await.map_err(|e| Error::broken("the backup", e))?;
            progress.tell(1, 1);
            file
        })
    }
}

/// A file that loses its name when this goes; whoever has it open reads on.
struct Unnamed(PathBuf);

impl Drop for Unnamed {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %self.0.display(), error = %e, "the file of a backup could not be removed");
            }
            _ => {}
        }
    }
}

impl Desk {
    async fn health(&self) -> Health {
        match self.identity.ready().await {
            Ok(()) => Health { ready: true, reason: String::new() },
            Err(e) => Health { ready: false, reason: e.to_string() },
        }
    }

    async fn status(&self) -> Result<Status> {
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").into(),
            node: self.log.node_id().to_string(),
            cluster: self.log.cluster_id(),
            ready: self.identity.ready().await.is_ok(),
            users: self.identity.account_count().await?,
            sessions: self.identity.session_count().await?,
            applied: self.log.applied_index(),
            uptime_secs: self.started.elapsed().as_secs(),
        })
    }

    fn sightings(&self, nonce: &str) -> Vec<Sighting> {
        let seen = self.sightings.of(nonce).into_iter();
        seen.map(|s| Sighting { headers: s.headers, address: s.address, refused: s.refused }).collect()
    }

    async fn users(&self, request: Request) -> Result<Response> {
        // what was just done on another node is to be seen
        self.log.refresh().await?;
        let identity = &self.identity;
        match request {
            Request::UserAdd(account) => self.add(account).await,
            Request::UserList { after } => {
                let page = identity.accounts(after.unwrap_or_default(), limits::CONTROL_PAGE).await?;
                let next =
                    (page.len() == limits::CONTROL_PAGE as usize).then(|| page.last().map(|(u, _)| u.email.clone()));
                Ok(Response::Users { users: page.into_iter().map(account).collect(), next: next.flatten() })
            }
            Request::UserShow { email } => self.shown(&email).await,
            Request::UserDisable { email } => {
                identity.disable_account(&email).await?;
                self.shown(&email).await
            }
            Request::UserEnable { email } => {
                identity.enable_account(&email).await?;
                self.shown(&email).await
            }
            Request::UserApprove { email } => {
                identity.approve_account(&email).await?;
                self.shown(&email).await
            }
            Request::UserGroups { email, groups } => {
                identity.set_account_groups(&email, groups).await?;
                self.shown(&email).await
            }
            Request::UserDelete { email } => identity.delete_account(&email).await.map(|()| Response::Done),
            Request::UserSetPassword { email, password } => {
                identity.set_account_password(&email, &password.0).await.map(|()| Response::Done)
            }
            Request::UserLink { email } => self.link(&email).await.map(Response::Link),
            Request::UserImport(chunk) => self.import(chunk).await,
            _ => Err(Error::Malformed("unknown request".into())),
        }
    }

    async fn shown(&self, email: &str) -> Result<Response> {
        self.identity.account(email).await.map(|found| Response::User(account(found)))
    }

    async fn add(&self, new: told::NewAccount) -> Result<Response> {
        let has_password = new.password.is_some();
        let form = SignUp {
            email: new.email,
            password: new.password.map(|password| password.0).unwrap_or_default(),
            first_name: new.first_name,
            last_name: new.last_name,
        };
        let user = self.identity.add_account(NewAccount { form, admin: new.admin }).await?;
        let made = if has_password { None } else { Some(sets_password(self.identity.link_for(&user.email).await?)) };
        let user = account(self.identity.account(&user.email).await?);
        Ok(Response::UserAdded { user, link: made })
    }

    /// For an address that nobody has, and only while nobody is admin, the link that makes the first one: the way in
    /// for an operator who lost the one of the first start.
    async fn link(&self, email: &str) -> Result<Link> {
        match self.identity.link_for(email).await {
            Err(Error::NotFound(what)) => {
                let made = self.identity.first_admin_link().await?.ok_or(Error::NotFound(what))?;
                Ok(Link { url: made.url, expires: made.expires, purpose: Purpose::FirstAdmin })
            }
            made => made.map(sets_password),
        }
    }

    async fn import(&self, chunk: ImportChunk) -> Result<Response> {
        let format = match chunk.format {
            ImportFormat::Csv => import::Format::Csv,
            ImportFormat::JsonLines => import::Format::JsonLines,
        };
        let header_lines = u64::from(!chunk.header.is_empty());
        let text = format!("{}{}", chunk.header, chunk.rows);
        let done = self.identity.import_accounts(&text, format).await?;
        let refused = done.refused.into_iter().map(|row| Refused {
            line: (row.line + chunk.first_line).saturating_sub(1 + header_lines),
            why: row.reason,
        });
        Ok(Response::Imported(told::Imported { added: done.added, taken: done.taken, refused: refused.collect() }))
    }

    async fn sessions(&self, request: Request) -> Result<Response> {
        self.log.refresh().await?;
        let identity = &self.identity;
        match request {
            Request::SessionList { user, after } => {
                let (after, limit) = (after.unwrap_or_default(), limits::CONTROL_PAGE as usize);
                let page = identity.all_sessions(user.as_deref(), &after, limit).await?;
                let next = (page.len() == limit).then(|| page.last().map(|view| view.listed.handle.clone())).flatten();
                Ok(Response::Sessions { sessions: page.iter().map(live).collect(), next })
            }
            Request::SessionShow { id } => {
                let view = identity.session_named(&id).await?;
                let data = Some(serde_json::Value::Object(view.session.data()));
                Ok(Response::Session(LiveSession { data, ..live(&view) }))
            }
            Request::SessionRevoke { id } => {
                identity.revoke_session(&id).await.map(|()| Response::Ended { sessions: 1 })
            }
            Request::SessionRevokeUser { email } => {
                identity.revoke_sessions_of(&email).await.map(|sessions| Response::Ended { sessions })
            }
            _ => Err(Error::Malformed("unknown request".into())),
        }
    }
}

fn account((user, password_scheme): (Arc<User>, String)) -> Account {
    Account {
        id: user.id.clone(),
        email: user.email.clone(),
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        created_at: user.created_at,
        admin: user.admin,
        approved: user.approved,
        verified: user.verified,
        disabled: user.disabled,
        groups: user.groups.clone(),
        password_scheme,
    }
}

fn live(view: &SessionView) -> LiveSession {
    LiveSession {
        handle: view.listed.handle.clone(),
        email: view.email.clone(),
        begun: view.listed.begun,
        expires: view.listed.expires,
        absolute: view.session.glance().absolute,
        address: view.listed.address.clone(),
        agent: view.listed.agent.clone(),
        remember: view.session.glance().remember(),
        data: None,
    }
}

fn sets_password(made: OneTimeLink) -> Link {
    Link { url: made.url, expires: made.expires, purpose: Purpose::SetPassword }
}
