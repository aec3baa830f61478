//! Signin: accounts are made, sessions begin and end. Each takes JSON; sign-up and sign-in also a plain form, for pages
//! of other programs on the same origin.

use hyper::StatusCode;

use super::body::{BegunBody, SignInBody, SignUpBody, SignedInBody, SignedUpBody, UserBody};
use crate::error::{Error, Result};
use crate::identity::{SignIn, SignUp};
use crate::web::problem::ProblemBody;
use crate::web::request::Media;
use crate::web::{Door, Reply, Request, reply};

/// Makes an account. Begins no session.
#[utoipa::path(post, path = "/api/v1/signup", tag = "account", operation_id = "signUp",
    request_body(content((SignUpBody = "application/json"), (SignUpBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 201, description = "made", body = SignedUpBody),
        (status = 400, description = "a field is missing or cannot be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "sign-up is closed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "the address has an account", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "a field breaks a rule", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many tries", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn signup(door: &Door, request: &Request) -> Result<Reply> {
    let SignUpBody { email, password, first_name, last_name } = request.read()?;
    let form = SignUp { email, password, first_name, last_name };
    let user = door.identity.sign_up(form, &request.client()).await?;
    let body = SignedUpBody { message: "new user created!", user: UserBody::of(&user) };
    reply::json(StatusCode::CREATED, &body)
}

/// Begins a session, ending the one that the browser had. A form is answered with 303: `/home`, or `/login?failed`.
#[utoipa::path(post, path = "/api/v1/signin", tag = "session", operation_id = "signIn",
    request_body(content((SignInBody = "application/json"), (SignInBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "signed in; the cookie is in `Set-Cookie`", body = SignedInBody),
        (status = 303, description = "what a form gets, signed in or not"),
        (status = 400, description = "a field is missing or cannot be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 401, description = "wrong address or password", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "too many tries", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "full, or not done", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn signin(door: &Door, request: &Request) -> Result<Reply> {
    let form = request.media() == Media::Form;
    match begin(door, request).await {
        Err(Error::Credentials | Error::Malformed(_)) if form => reply::redirect("/login?failed"),
        answer => answer,
    }
}

async fn begin(door: &Door, request: &Request) -> Result<Reply> {
    let SignInBody { email, password, remember } = request.read()?;
    let visitor = door.visitor(request).await?;
    let form = SignIn { email, password, remember };
    let (user, granted) = door.identity.sign_in(form, &visitor, &request.client()).await?;
    let reply = if request.media() == Media::Form {
        reply::redirect("/home")?
    } else {
        let expires_in = granted.session.expires_in(door.identity.now());
        let session = BegunBody { id: granted.session.handle(), expires_in };
        reply::json(StatusCode::OK, &SignedInBody { user: UserBody::of(&user), session })?
    };
    reply::grant(reply, &door.settings, &granted)
}

/// Ends the session that the cookie names, if there is one, and takes the cookies back.
#[utoipa::path(post, path = "/api/v1/signout", tag = "session", operation_id = "signOut", security(("session" = [])), responses(
    (status = 204, description = "there is no session now"),
    (status = 503, description = "not done", body = ProblemBody, content_type = "application/problem+json"),
))]
pub async fn signout(door: &Door, request: &Request) -> Result<Reply> {
    match door.visitor(request).await {
        Ok(visitor) => door.identity.sign_out(&visitor).await?,
        // cookies that say two things name no session; they go all the same
        Err(Error::Malformed(_)) => {}
        Err(error) => return Err(error),
    }
    reply::forget(reply::no_content(), &door.settings)
}
