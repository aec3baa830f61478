//! Admission: `AUTH` and `HELLO`: who this is, and in which dialect they want their answers.
//!
//! `default` with `redis.password` sees everything; an app with its own name and password sees what is its own.

use bytes::Bytes;
use subtle::ConstantTimeEq as _;

use super::conversation::{Conversation, Who};
use super::write::Proto;
use super::{VERSION, commands};
use crate::identity::apps;
use crate::keyspace::{Reply, parse_int, refusal, wrong};

/// The user who sees everything.
const DEFAULT: &[u8] = b"default";

impl Conversation {
    /// `AUTH [username] password`.
    pub(super) async fn auth(&mut self, args: &[Bytes]) -> Reply {
        let (name, password) = match args {
            [password] if self.door.settings.password.is_none() => {
                let _ = password;
                return Reply::err(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                     your configuration is correct?",
                );
            }
            [password] => (DEFAULT, password),
            [name, password] => (&name[..], password),
            _ => return wrong::syntax(),
        };
        match self.prove(name, password).await {
            Ok(()) => Reply::OK,
            Err(refused) => refused,
        }
    }

    async fn prove(&mut self, name: &[u8], password: &[u8]) -> Result<(), Reply> {
        if name != DEFAULT {
            let seen = self.door.identity.apps_changed();
            let app = match std::str::from_utf8(name) {
                Ok(name) => self.door.identity.sure_app(name, password).await,
                Err(_) => Ok(None),
            };
            let Some(app) = app.map_err(|error| refusal(&error))? else { return Err(self.wrong_password()) };
            self.who = Who::App { digest: apps::digest(password), seen };
            self.scope.app = Some(app);
            self.subscriber = None;
            return Ok(());
        }
        let is_right = match &self.door.settings.password {
            None => self.door.settings.is_open,
            Some(right) => {
                if !self.door.guesses.turn(self.card.address.ip()).await {
                    return Err(Reply::err("ERR too many wrong passwords from this address, try again later"));
                }
                apps::digest(password).ct_eq(&apps::digest(right.expose().as_bytes())).into()
            }
        };
        if !is_right {
            return Err(self.wrong_password());
        }
        self.who = Who::Everything;
        self.scope.app = None;
        Ok(())
    }

    fn wrong_password(&self) -> Reply {
        let address = self.card.address;
        self.door.guesses.wrong(address.ip());
        self.door.meters.wrong.increment(1);
        tracing::warn!(target: crate::identity::SECURITY, %address, "a wrong password at the Redis door");
        Reply::err("WRONGPASS invalid username-password pair or user is disabled.")
    }

    /// `HELLO [protover [AUTH username password] [SETNAME clientname]]`.
    pub(super) async fn hello(&mut self, args: &[Bytes]) -> Reply {
        let mut proto = self.proto;
        if let Some(version) = args.first() {
            let Some(version) = parse_int(version) else {
                return Reply::err("ERR Protocol version is not an integer or out of range");
            };
            proto = match version {
                2 => Proto::Two,
                3 => Proto::Three,
                _ => return Reply::err("NOPROTO unsupported protocol version"),
            };
        }
        let (mut credentials, mut name) = (None, None);
        let mut rest = args.get(1..).unwrap_or_default();
        while let [option, more @ ..] = rest {
            rest = match more {
                [user, password, more @ ..] if option.eq_ignore_ascii_case(b"AUTH") => {
                    credentials = Some((user.clone(), password.clone()));
                    more
                }
                [wanted, more @ ..] if option.eq_ignore_ascii_case(b"SETNAME") => {
                    match commands::client_name(wanted) {
                        Ok(checked) => name = Some(checked),
                        Err(refused) => return refused,
                    }
                    more
                }
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Reply::error(format!("ERR Syntax error in HELLO option '{option}'"));
                }
            };
        }
        if let Some((user, password)) = credentials
            && let Err(refused) = self.prove(&user, &password).await
        {
            return refused;
        }
        if !self.is_known() {
            return Reply::err(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
                 <pass> option can be used to authenticate the client and select the RESP protocol version at the same \
                 time",
            );
        }
        if let Some(name) = name {
            self.card.note(|seen| seen.name = name);
        }
        self.proto = proto;
        self.greeting()
    }

    fn greeting(&self) -> Reply {
        let id = i64::try_from(self.card.id).unwrap_or(i64::MAX);
        let pairs = [
            ("server", Reply::bulk("redis")),
            ("version", Reply::bulk(VERSION)),
            ("proto", Reply::Int(self.proto.number())),
            ("id", Reply::Int(id)),
            ("mode", Reply::bulk("standalone")),
            ("role", Reply::bulk("master")),
            ("modules", Reply::Array(Vec::new())),
        ];
        Reply::Map(pairs.into_iter().map(|(name, value)| (Reply::bulk(name), value)).collect())
    }
}
