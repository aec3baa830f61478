//! Credentials: what `app` and `token` commands ask, put to `identity`.

use crate::control::protocol::{self as told, App, Password, Request, Response, Token};
use crate::error::{Error, Result};
use crate::identity::{self, AppView, Identity, WantedToken};

/// Does what an `app` or `token` command asks.
///
/// # Errors
/// As `identity` says.
pub async fn perform(identity: &Identity, request: Request) -> Result<Response> {
    match request {
        Request::AppAdd(new) => {
            let told::NewApp { name, prefix, may_sign_in, share } = new;
            let (view, password) = identity.add_app(identity::NewApp { name, prefix, may_sign_in, share }).await?;
            Ok(Response::AppSecret { app: app(view), password: Password(password) })
        }
        Request::AppList => Ok(Response::Apps(identity.apps().await?.into_iter().map(app).collect())),
        Request::AppRemove { name } => identity.remove_app(&name).await.map(|()| Response::Done),
        Request::AppRotate { name } => {
            let (view, password) = identity.rotate_app(&name).await?;
            Ok(Response::AppSecret { app: app(view), password: Password(password) })
        }
        Request::TokenAdd(new) => {
            let lifetime_ms = new.lifetime_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
            let wanted = WantedToken { name: new.name, scopes: new.scopes, lifetime_ms };
            let issued = identity.add_token_for(&new.email, wanted).await?;
            Ok(Response::TokenAdded { token: token(issued.token), secret: Password(issued.secret) })
        }
        Request::TokenList { email } => {
            identity.catch_up().await?;
            Ok(Response::Tokens(identity.tokens_for(&email).await?.into_iter().map(token).collect()))
        }
        Request::TokenRemove { id } => identity.remove_token(&id).await.map(|()| Response::Done),
        _ => Err(Error::Malformed("unknown request".into())),
    }
}

fn app(view: AppView) -> App {
    App {
        prefix: String::from_utf8_lossy(&view.record.prefix).into_owned(),
        name: view.record.name,
        may_sign_in: view.record.may_sign_in,
        share: view.record.share,
        used_bytes: view.used,
        sees_sessions: view.sees_sessions,
        created_at: view.record.created_at,
    }
}

fn token(token: identity::Token) -> Token {
    Token {
        scopes: token.scopes.names().map(str::to_owned).collect(),
        id: token.id,
        name: token.name,
        created_at: token.created_at,
        last_used: token.last_used,
        expires_at: token.expires_at,
    }
}
