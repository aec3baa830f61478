//! Tokens: personal access tokens, by which a program acts for one person.
//!
//! Shown once; what is kept is the digest. Making and ending them is the owner's business, with both cookies; a token
//! makes no tokens. A check reads memory, and writes at most once a day.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::sessions::{Listed, listed};
use super::token_text::{drawn, is_whole};
use super::{Identity, SECURITY, User, UserOutcome, Visitor, email, name};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::limits;
use crate::log::Belief;
use crate::state::{EndUser, Op, Outcome, Scopes, Token, UserChange};

/// How often a token is looked at while answers of the leader come too late to believe what was read.
const LOOKS_MAX: usize = 3;
/// A day, milliseconds: use is noted no finer than that.
const DAY: i64 = 86_400_000;

/// A token that somebody wants. Unchecked.
#[derive(Debug, Clone, Default)]
pub struct WantedToken {
    /// What they call it.
    pub name: String,
    /// Names of scopes.
    pub scopes: Vec<String>,
    /// How long it is to be good, milliseconds; `None`: until it is ended.
    pub lifetime_ms: Option<i64>,
}

/// A token that was made just now.
pub struct IssuedToken {
    /// The token itself: nobody can show it again.
    pub secret: String,
    pub token: Token,
}

impl Identity {
    /// Makes a token for the visitor.
    ///
    /// # Errors
    /// As for [`Visitor::owner`]; `Unacceptable`; `Conflict` when they have as many as anybody may.
    pub async fn add_token(&self, visitor: &Visitor, wanted: WantedToken) -> Result<IssuedToken> {
        let (user, _) = visitor.owner()?;
        self.issue(user, wanted).await.map_err(|e| if matches!(e, Error::NotFound(_)) { Error::NotSignedIn } else { e })
    }

    /// The same for the account with this address, on an operator's behalf.
    ///
    /// # Errors
    /// `NotFound`; `Unacceptable`, `Conflict` as above.
    pub async fn add_token_for(&self, address: &str, wanted: WantedToken) -> Result<IssuedToken> {
        let row = self.row_by_email(email::normalise(address)?).await?.ok_or(Error::NotFound("user"))?;
        self.issue(&row.user, wanted).await
    }

    async fn issue(&self, user: &User, wanted: WantedToken) -> Result<IssuedToken> {
        let secret = drawn();
        let (name, scopes, now) = (named(&wanted.name)?, scopes(&wanted.scopes, user)?, self.now());
        let token = Token {
            id: self.new_user_id(),
            user: user.id.clone(),
            name,
            digest: Sha256::digest(&secret).into(),
            scopes,
            created_at: now,
            last_used: None,
            expires_at: wanted.lifetime_ms.map(|ms| ends(now, ms)).transpose()?,
        };
        let change = UserChange::AddToken { token: Box::new(token.clone()), max: limits::TOKENS_PER_USER_MAX };
        match self.change_user(change, None).await? {
            UserOutcome::Done => {}
            UserOutcome::NotFound => return Err(Error::NotFound("user")),
            UserOutcome::TooMany => {
                let most = limits::TOKENS_PER_USER_MAX;
                return Err(Error::Conflict(format!("An account has at most {most} tokens. End one first.")));
            }
            other => return Err(Error::Broken(format!("a new token was answered {other:?}"))),
        }
        tracing::info!(target: SECURITY, user = user.id, token = token.id, "a token was made");
        Ok(IssuedToken { secret, token })
    }

    /// The visitor's tokens, the oldest first; those whose time has come are not among them.
    ///
    /// # Errors
    /// As for [`Visitor::owner`].
    pub async fn tokens(&self, visitor: &Visitor) -> Result<Vec<Token>> {
        let (user, _) = visitor.owner()?;
        self.tokens_of(user.id.clone()).await
    }

    /// The same of the account with this address.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tokens_for(&self, address: &str) -> Result<Vec<Token>> {
        let row = self.row_by_email(email::normalise(address)?).await?.ok_or(Error::NotFound("user"))?;
        self.tokens_of(row.user.id.clone()).await
    }

    async fn tokens_of(&self, user: String) -> Result<Vec<Token>> {
        let now = self.now();
        let held = self.users(move |users| users.tokens_of(&user)).await?;
        Ok(held.into_iter().filter(|token| token.is_good(now)).collect())
    }

    /// Ends one of the visitor's tokens.
    ///
    /// # Errors
    /// As for [`Visitor::owner`]; `NotFound` when it is not theirs.
    pub async fn end_token(&self, visitor: &Visitor, id: &str) -> Result<()> {
        let (user, _) = visitor.owner()?;
        self.remove(id, Some(user.id.clone())).await
    }

    /// Ends a token, whosever it is.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_token(&self, id: &str) -> Result<()> {
        self.remove(id, None).await
    }

    async fn remove(&self, id: &str, user: Option<String>) -> Result<()> {
        match self.change_user(UserChange::DeleteToken { id: id.to_owned(), user }, None).await? {
            UserOutcome::Done => {
                tracing::info!(target: SECURITY, token = id, "a token was ended");
                Ok(())
            }
            UserOutcome::NotFound => Err(Error::NotFound("token")),
            other => Err(Error::Broken(format!("the end of a token was answered {other:?}"))),
        }
    }

    /// Whom a token speaks for, and what it may do; `None` when it is none, or good no more.
    ///
    /// # Errors
    /// `NotDone` when this node cannot be sure.
    pub async fn bearer(&self, token: &str) -> Result<Option<(Arc<User>, Scopes)>> {
        let found = self.sure_token(token).await?;
        Ok(found.map(|(user, token)| {
            let scopes = if user.admin { token.scopes } else { token.scopes.without(Scopes::ADMIN) };
            (user, scopes)
        }))
    }

    /// The token and its owner as they stand, by what this node may believe: it reads first and asks afterwards how old
    /// that is. What it does not find it asks for.
    pub(super) async fn sure_token(&self, token: &str) -> Result<Option<(Arc<User>, Arc<Token>)>> {
        if !is_whole(token) {
            return Ok(None);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let (mut belief, mut has_asked) = (Belief::Fresh, false);
        for _ in 0..LOOKS_MAX {
            let found = self.look_at_token(digest).await?;
            match found {
                None if has_asked => return Ok(None),
                None => {
                    self.log.refresh().await?;
                    belief = Belief::Fresh;
                }
                Some((user, token)) if self.log.is_still(belief) => {
                    self.note_use(&token);
                    return Ok(Some((user, token)));
                }
                Some(_) => belief = self.log.refresh_or_bear().await?,
            }
            has_asked = belief == Belief::Fresh;
        }
        Err(Error::NotDone("what the leader says comes too late".into()))
    }

    async fn look_at_token(&self, digest: [u8; 32]) -> Result<Option<(Arc<User>, Arc<Token>)>> {
        let now = self.now();
        let held = self.state.current().users.cached_token(&digest);
        let token = match held {
            Some(token) => Some(token),
            None => self.users(move |users| users.token(&digest)).await?,
        };
        let Some(token) = token.filter(|token| token.is_good(now)) else { return Ok(None) };
        let row = self.state.current().users.cached(&token.user);
        let row = match row {
            Some(row) => Some(row),
            None => self.row_by_id(token.user.clone()).await?,
        };
        Ok(row.filter(|row| !row.user.disabled).map(|row| (row.user.clone(), token)))
    }

    /// The live sessions of whom a token speaks for, newest first.
    pub fn sessions_of(&self, user: &User) -> Vec<Listed> {
        let mut all: Vec<Listed> =
            self.live_sessions_of(&user.id).iter().map(|session| listed(session, None)).collect();
        all.sort_by(|a, b| b.begun.cmp(&a.begun).then_with(|| a.handle.cmp(&b.handle)));
        all
    }

    /// Ends one of them.
    ///
    /// # Errors
    /// `NotFound` when it is not theirs.
    pub async fn end_session_of(&self, user: &User, handle: &str) -> Result<()> {
        let session = self.live_sessions_of(&user.id).into_iter().find(|session| session.handle() == handle);
        let session = session.ok_or(Error::NotFound("session"))?;
        self.log.submit(Op::Revoke(vec![session.key])).await.map(|_| ())
    }

    /// Ends all of them; answers how many.
    ///
    /// # Errors
    /// `NotDone`, `FateUnknown`.
    pub async fn end_sessions_of(&self, user: &User) -> Result<u64> {
        match self.log.submit(Op::EndUser(EndUser { user: user.id.clone(), keep: None })).await? {
            Outcome::Ended(count) => Ok(count),
            other => Err(Error::Broken(format!("ending sessions was answered {other:?}"))),
        }
    }

    /// Remembers that a token was used today, which is written down once a day.
    fn note_use(&self, token: &Token) {
        let now = self.now();
        let day = now - now.rem_euclid(DAY);
        if token.last_used.is_none_or(|last| last < day) {
            self.touches.use_token(&token.id, day);
        }
    }
}

fn named(text: &str) -> Result<String> {
    let name = name::normalise("name", text)?;
    if name.is_empty() {
        return Err(unacceptable("name", "Give the token a name, by which you know it again.".into()));
    }
    Ok(name)
}

fn scopes(names: &[String], user: &User) -> Result<Scopes> {
    let mut all = Scopes::NONE;
    for name in names {
        let known = Scopes::named(name);
        all = all.with(known.ok_or_else(|| unacceptable("scopes", "Scopes are profile, sessions and admin.".into()))?);
    }
    if all == Scopes::NONE {
        return Err(unacceptable("scopes", "Say what the token is good for: one scope at least.".into()));
    }
    if all.has(Scopes::ADMIN) && !user.admin {
        return Err(unacceptable("scopes", "The scope admin is for admins.".into()));
    }
    Ok(all)
}

fn ends(now: Millis, lifetime_ms: i64) -> Result<Millis> {
    let most = i64::try_from(limits::TOKEN_LIFETIME_MAX.as_millis()).unwrap_or(i64::MAX);
    if lifetime_ms <= 0 || lifetime_ms > most {
        let message = format!("A token is good for at most {} days, or until it is ended.", most / DAY);
        return Err(unacceptable("expires", message));
    }
    Ok(now.saturating_add(lifetime_ms))
}

fn unacceptable(field: &'static str, message: String) -> Error {
    Error::Unacceptable { field, message }
}

#[cfg(test)]
mod tests {
    use super::super::{NewAccount, SignUp};
    use super::*;

    async fn ada(room: &Identity, admin: bool) -> Arc<User> {
        let form = SignUp {
            email: "ada@example.com".into(),
            password: String::new(),
            first_name: String::new(),
            last_name: String::new(),
        };
        room.add_account(NewAccount { form, admin }).await.expect("is added")
    }

    fn wanted(scopes: &[&str]) -> WantedToken {
        let scopes = scopes.iter().map(|name| (*name).to_owned()).collect();
        WantedToken { name: " ci ".into(), scopes, lifetime_ms: None }
    }

    #[tokio::test]
    async fn a_token_speaks_for_its_owner_until_it_is_ended() {
        let (room, log) = Identity::alone();
        let ada = ada(&room, false).await;
        let issued = room.add_token_for("Ada@example.com", wanted(&["profile", "sessions"])).await.expect("is made");
        assert_eq!((issued.token.name.as_str(), issued.token.last_used), ("ci", None));
        let (user, scopes) = room.bearer(&issued.secret).await.expect("is asked").expect("is good");
        assert_eq!((user.id.as_str(), scopes.names().collect::<Vec<_>>()), (&*ada.id, vec!["profile", "sessions"]));
        assert!(room.bearer(&drawn()).await.expect("is asked").is_none());
        let decided = log.decided();
        for _ in 0..100 {
            room.bearer(&issued.secret).await.expect("is asked").expect("is good");
        }
        assert!(log.decided() <= decided + 1, "use is noted once a day");
        room.remove_token(&issued.token.id).await.expect("is ended");
        assert!(room.bearer(&issued.secret).await.expect("is asked").is_none());
        assert!(matches!(room.remove_token(&issued.token.id).await, Err(Error::NotFound("token"))));
    }

    #[tokio::test]
    async fn use_is_noted_by_the_day() {
        let (room, _) = Identity::alone();
        ada(&room, false).await;
        let issued = room.add_token_for("ada@example.com", wanted(&["profile"])).await.expect("is made");
        room.bearer(&issued.secret).await.expect("is asked").expect("is good");
        let day = room.now() - room.now().rem_euclid(DAY);
        for _ in 0..1_000 {
            if room.tokens_for("ada@example.com").await.expect("are listed")[0].last_used == Some(day) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("it was not noted");
    }

    #[tokio::test]
    async fn a_token_is_good_for_what_was_said_and_nobody_is_given_more_than_they_are() {
        let (room, _) = Identity::alone();
        ada(&room, false).await;
        let refused = async |wanted: WantedToken| match room.add_token_for("ada@example.com", wanted).await {
            Err(Error::Unacceptable { field, .. }) => field,
            other => panic!("{:?}", other.map(|issued| issued.token)),
        };
        assert_eq!(refused(wanted(&[])).await, "scopes");
        assert_eq!(refused(wanted(&["profile", "root"])).await, "scopes");
        assert_eq!(refused(wanted(&["admin"])).await, "scopes");
        assert_eq!(refused(WantedToken { name: "  ".into(), ..wanted(&["profile"]) }).await, "name");
        assert_eq!(refused(WantedToken { name: "x".repeat(101), ..wanted(&["profile"]) }).await, "name");
        for bad in [0, -1, i64::MAX] {
            assert_eq!(refused(WantedToken { lifetime_ms: Some(bad), ..wanted(&["profile"]) }).await, "expires");
        }
        assert!(matches!(
            room.add_token_for("bob@example.com", wanted(&["profile"])).await,
            Err(Error::NotFound("user"))
        ));
    }

    #[tokio::test]
    async fn whoever_is_shut_out_has_no_tokens_any_more() {
        let (room, _) = Identity::alone();
        ada(&room, true).await;
        let issued = room.add_token_for("ada@example.com", wanted(&["admin"])).await.expect("is made");
        assert!(room.bearer(&issued.secret).await.expect("is asked").is_some_and(|(_, s)| s.has(Scopes::ADMIN)));
        room.disable_account("ada@example.com").await.expect("is disabled");
        assert!(room.bearer(&issued.secret).await.expect("is asked").is_none());
        assert!(matches!(
            room.add_token_for("ada@example.com", wanted(&["profile"])).await,
            Err(Error::NotFound("user"))
        ));
        room.enable_account("ada@example.com").await.expect("is enabled");
        assert!(room.bearer(&issued.secret).await.expect("is asked").is_none(), "it was ended, not put away");
    }

    #[tokio::test]
    async fn an_account_has_so_many_tokens() {
        let (room, _) = Identity::alone();
        ada(&room, false).await;
        for _ in 0..limits::TOKENS_PER_USER_MAX {
            room.add_token_for("ada@example.com", wanted(&["profile"])).await.expect("is made");
        }
        let refused = room.add_token_for("ada@example.com", wanted(&["profile"])).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
    }
}
