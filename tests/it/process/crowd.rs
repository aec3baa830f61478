//! Crowd: people who use a node until it is gone, and remember what it acknowledged.
//!
//! Everybody does one thing at a time, so at most one thing of each is of unknown fate when the node dies. Afterwards
//! they look: what was acknowledged must be there, what was never asked must not be, and what is unknown must be there
//! as a whole or not at all.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::dice::Dice;
use crate::harness::{Visitor, body};

/// Live sessions that a person keeps; the oldest is signed out beyond that.
const SESSIONS_MAX: usize = 6;
/// Dead sessions that a person keeps looking at.
const DEAD_MAX: usize = 24;

/// The node did not answer: it is gone, and whatever was asked last is of unknown fate.
pub struct Gone;

/// What is known about a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Live,
    Dead,
    /// It was about to be ended when the node died.
    Unknown,
}

/// A session, as its owner knows it.
struct Held {
    visitor: Visitor,
    fate: Fate,
    /// The last value whose write was acknowledged.
    count: u64,
    /// The last value that was sent.
    tried: u64,
}

/// What was under way when the node died, beyond the fate of one session or counter.
enum Pending {
    SignUp,
    /// To this password, asked for by the session with this cookie.
    Password(String, String),
    /// Asked for by the session with this cookie.
    EndOthers(String),
}

/// Somebody with an account.
pub struct Person {
    email: String,
    /// Another one for every person and every life of the node, so that no throttle is in the way.
    address: String,
    password: String,
    /// The password before, once.
    old_password: Option<String>,
    /// How many passwords this person has had.
    passwords: u64,
    pending: Option<Pending>,
    sessions: Vec<Held>,
    /// A browser without cookies.
    browser: Visitor,
}

impl Person {
    /// Somebody who is about to sign up.
    pub fn new(worker: u8, number: u8) -> Self {
        Self {
            email: format!("person-{worker}-{number}@example.com"),
            address: String::new(),
            password: "correct horse battery 0".into(),
            old_password: None,
            passwords: 0,
            pending: Some(Pending::SignUp),
            sessions: Vec::new(),
            browser: Visitor::at(""),
        }
    }

    /// The node is at this address now, and this person comes from that one.
    pub fn moved_to(&mut self, url: &str, address: String) {
        self.browser = self.browser.at_url(url);
        self.address = address;
        for held in &mut self.sessions {
            held.visitor = held.visitor.at_url(url);
        }
    }

    /// Does something; answers how many acknowledgements that brought.
    pub async fn act(&mut self, dice: &mut Dice) -> Result<u64, Gone> {
        if let Some(Pending::SignUp) = self.pending {
            return self.sign_up().await;
        }
        let live: Vec<usize> = (0..self.sessions.len()).filter(|at| self.sessions[*at].fate == Fate::Live).collect();
        if live.is_empty() {
            return self.sign_in(None).await;
        }
        let one = live[dice.below(live.len() as u64) as usize];
        match dice.below(1_000) {
            0..860 => self.count(one).await,
            860..900 if live.len() >= SESSIONS_MAX => self.sign_out(live[0]).await,
            860..900 => self.sign_in(None).await,
            900..925 => self.sign_in(Some(one)).await,
            925..955 => self.sign_out(one).await,
            955..970 => self.end_others(one).await,
            _ => self.change_password(one).await,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Gone> {
        let request = request.header("x-forwarded-for", &self.address).timeout(crate::program::PATIENCE);
        request.send().await.map_err(|_| Gone)
    }

    async fn sign_up(&mut self) -> Result<u64, Gone> {
        self.pending = Some(Pending::SignUp);
        let body = json!({"email": self.email, "password": self.password});
        let request = self.browser.request(Method::POST, "/api/v1/signup").json(&body);
        expect(self.send(request).await?, StatusCode::CREATED).await?;
        self.pending = None;
        Ok(1)
    }

    /// Signs in, in a new browser or in that of a session, which it ends.
    async fn sign_in(&mut self, instead_of: Option<usize>) -> Result<u64, Gone> {
        let mut visitor = match instead_of {
            None => self.browser.clone(),
            Some(at) => {
                self.sessions[at].fate = Fate::Unknown;
                self.sessions[at].visitor.clone()
            }
        };
        let response = self.try_password(&visitor, &self.password).await?;
        let response = expect(response, StatusCode::OK).await?;
        visitor.keep(response.headers());
        if let Some(at) = instead_of {
            self.sessions[at].fate = Fate::Dead;
        }
        self.sessions.push(Held { visitor, fate: Fate::Live, count: 0, tried: 0 });
        self.forget_old();
        Ok(1)
    }

    async fn try_password(&self, visitor: &Visitor, password: &str) -> Result<Response, Gone> {
        let body = json!({"email": self.email, "password": password});
        self.send(visitor.request(Method::POST, "/api/v1/signin").json(&body)).await
    }

    async fn count(&mut self, at: usize) -> Result<u64, Gone> {
        let held = &mut self.sessions[at];
        held.tried += 1;
        let tried = held.tried;
        let request = held.visitor.request(Method::PATCH, "/api/v1/session").json(&json!({"count": tried}));
        expect(self.send(request).await?, StatusCode::OK).await?;
        self.sessions[at].count = tried;
        Ok(1)
    }

    async fn sign_out(&mut self, at: usize) -> Result<u64, Gone> {
        self.sessions[at].fate = Fate::Unknown;
        let request = self.sessions[at].visitor.request(Method::POST, "/api/v1/signout").json(&json!({}));
        expect(self.send(request).await?, StatusCode::NO_CONTENT).await?;
        self.sessions[at].fate = Fate::Dead;
        self.forget_old();
        Ok(1)
    }

    async fn end_others(&mut self, at: usize) -> Result<u64, Gone> {
        let cookie = self.sessions[at].visitor.cookie_header();
        self.pending = Some(Pending::EndOthers(cookie.clone()));
        let request = self.sessions[at].visitor.request(Method::DELETE, "/api/v1/sessions?others=true");
        expect(self.send(request).await?, StatusCode::OK).await?;
        self.pending = None;
        self.others_are_dead(&cookie);
        Ok(1)
    }

    async fn change_password(&mut self, at: usize) -> Result<u64, Gone> {
        self.passwords += 1;
        let new = format!("correct horse battery {}", self.passwords);
        let cookie = self.sessions[at].visitor.cookie_header();
        self.pending = Some(Pending::Password(new.clone(), cookie.clone()));
        let body = json!({"current_password": self.password, "new_password": new});
        let request = self.sessions[at].visitor.request(Method::POST, "/api/v1/password").json(&body);
        expect(self.send(request).await?, StatusCode::NO_CONTENT).await?;
        self.pending = None;
        self.password_is(new, &cookie);
        Ok(1)
    }

    fn password_is(&mut self, new: String, cookie: &str) {
        self.old_password = Some(std::mem::replace(&mut self.password, new));
        self.others_are_dead(cookie);
    }

    fn others_are_dead(&mut self, cookie: &str) {
        for held in self.sessions.iter_mut().filter(|held| held.visitor.cookie_header() != cookie) {
            held.fate = Fate::Dead;
        }
        self.forget_old();
    }

    fn forget_old(&mut self) {
        let dead = self.sessions.iter().filter(|held| held.fate == Fate::Dead).count();
        let mut extra = dead.saturating_sub(DEAD_MAX);
        self.sessions.retain(|held| {
            let forget = extra > 0 && held.fate == Fate::Dead;
            extra -= usize::from(forget);
            !forget
        });
    }

    /// Looks whether everything is as it was acknowledged. Answers how many facts were looked at.
    ///
    /// # Panics
    /// When something is missing, or there that must not be.
    pub async fn look(&mut self, thorough: bool) -> Result<u64, Gone> {
        match self.pending.take() {
            Some(Pending::SignUp) => self.look_for_account().await?,
            Some(Pending::Password(new, cookie)) => {
                if self.knows(&new).await? {
                    self.password_is(new, &cookie);
                } else {
                    assert!(self.knows(&self.password).await?, "{}: neither password is known", self.email);
                }
            }
            Some(Pending::EndOthers(cookie)) => {
                let other = self.sessions.iter().find(|h| h.fate == Fate::Live && h.visitor.cookie_header() != cookie);
                if let Some(other) = other
                    && self.session(other).await?.is_none()
                {
                    self.others_are_dead(&cookie);
                }
            }
            None => {}
        }
        if let Some(old) = self.old_password.take() {
            assert!(!self.knows(&old).await?, "{}: an old password is good again", self.email);
            assert!(self.knows(&self.password).await?, "{}: the new password is lost", self.email);
        } else if thorough && self.pending.is_none() {
            assert!(self.knows(&self.password).await?, "{}: the account or its password is lost", self.email);
        }
        self.look_at_sessions().await
    }

    /// Whether the sign-up that was under way came about; if not, it is still to come: with another address, since on a
    /// busy machine many are cut off one after the other, and ten looks for an account that is none are all that one
    /// address has.
    async fn look_for_account(&mut self) -> Result<(), Gone> {
        if !self.knows(&self.password).await? {
            self.pending = Some(Pending::SignUp);
            self.email.insert(0, 'x');
        }
        Ok(())
    }

    async fn knows(&self, password: &str) -> Result<bool, Gone> {
        let response = self.try_password(&self.browser, password).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::UNAUTHORIZED => Ok(false),
            _ => Err(unexpected(response).await),
        }
    }

    async fn look_at_sessions(&mut self) -> Result<u64, Gone> {
        for at in 0..self.sessions.len() {
            let found = self.session(&self.sessions[at]).await?;
            let (email, held) = (&self.email, &mut self.sessions[at]);
            match (held.fate, found) {
                (Fate::Live, None) => panic!("{email}: a session is lost, its counter was {}", held.count),
                (Fate::Dead, Some(count)) => panic!("{email}: a dead session lives again, its counter is {count}"),
                (Fate::Dead, None) => {}
                (Fate::Unknown, None) => held.fate = Fate::Dead,
                (Fate::Live | Fate::Unknown, Some(count)) => {
                    let (from, to) = (held.count, held.tried);
                    assert!((from..=to).contains(&count), "{email}: counter {count}, acknowledged {from}, sent {to}");
                    (held.fate, held.count) = (Fate::Live, count);
                }
            }
        }
        Ok(self.sessions.len() as u64)
    }

    /// The counter of a session, if the node honours it.
    async fn session(&self, held: &Held) -> Result<Option<u64>, Gone> {
        let response = self.send(held.visitor.request(Method::GET, "/api/v1/session")).await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => Ok(None),
            StatusCode::OK => {
                let session: Value = body(response).await;
                assert_eq!(session["user"]["email"], self.email.as_str(), "{session}");
                Ok(Some(session["data"]["count"].as_u64().unwrap_or(0)))
            }
            _ => Err(unexpected(response).await),
        }
    }
}

/// An answer counts once it was read to its end.
async fn expect(response: Response, status: StatusCode) -> Result<Response, Gone> {
    if response.status() == status { Ok(response) } else { Err(unexpected(response).await) }
}

/// A node that dies may refuse what it can no longer do; anything else is a fault.
async fn unexpected(response: Response) -> Gone {
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    panic!("unexpected answer: {status} {text}");
}
