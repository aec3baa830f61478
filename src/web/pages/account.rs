//! Account: names, password, and the places where somebody is signed in.

use serde::Serialize;

use super::frame::Frame;
use super::words::Moment;
use super::{Trouble, render};
use crate::clock::Millis;
use crate::error::Result;
use crate::identity::{Listed, Visitor};

/// What the account page shows besides who is signed in.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    pub since: Moment,
    pub notice: Option<&'static str>,
    pub profile: Profile,
    pub password_hint: String,
    pub password_trouble: Option<Trouble>,
    pub sessions: Vec<Row>,
}

/// The form with the names.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Profile {
    pub first_name: String,
    pub last_name: String,
    pub trouble: Option<Trouble>,
}

/// One line of the sessions' table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    handle: String,
    agent: String,
    address: String,
    begun: Moment,
    ends: Moment,
    current: bool,
}

impl Row {
    pub fn of(listed: Listed, now: Millis) -> Self {
        let agent = if listed.agent.is_empty() { "Unknown browser".to_owned() } else { listed.agent };
        Self {
            handle: listed.handle,
            agent,
            address: listed.address,
            begun: Moment::absolute(listed.begun),
            ends: Moment::ahead(listed.expires, now),
            current: listed.current,
        }
    }
}

impl Account {
    pub fn html(&self, visitor: &Visitor) -> Result<String> {
        render("account.html", &Frame::of("Your account", "/account", visitor), self)
    }
}
