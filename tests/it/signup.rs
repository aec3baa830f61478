//! Making an account: what is asked of people, and what is not.

use futures_util::future::join_all;
use reqwest::header::{ACCEPT, LOCATION, SET_COOKIE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use sojourn::control::{Request, Response as Answer};

use crate::harness::{Node, PASSWORD, Visitor, body};

async fn sign_up(visitor: &mut Visitor, email: &str, password: &str) -> Response {
    visitor.post("/api/v1/signup", &json!({"email": email, "password": password})).await
}

/// Status, field and sentence of a refusal.
async fn refusal(response: Response) -> (u16, Value, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let told = body(response).await;
    assert_eq!(told["status"], status);
    (status, told["field"].clone(), told["detail"].as_str().expect("a sentence").to_owned())
}

#[tokio::test]
async fn an_account_made_by_json_is_told_and_not_signed_in() {
    let node = Node::start().await;
    let given = json!({"email": " Ada@Example.com", "password": PASSWORD, "first_name": " Ada ", "last_name": "Stout"});
    let response = node.visitor().post("/api/v1/signup", &given).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert!(!response.headers().contains_key(SET_COOKIE));
    let told = body(response).await;
    let user = told["user"].as_object().expect("an object");
    assert_eq!(told["message"], "new user created!");
    let members: Vec<&str> = user.keys().map(String::as_str).collect();
    assert_eq!(members, ["created_at", "email", "first_name", "id", "last_name"]);
    assert_eq!((&user["email"], &user["first_name"]), (&json!("ada@example.com"), &json!("Ada")));
    assert_eq!(user["created_at"], "2026-09-21T14:13:20.000Z");
    assert_eq!(user["id"].as_str().map(str::len), Some(36));
}

#[tokio::test]
async fn a_form_to_the_api_makes_an_account_too() {
    let node = Node::start().await;
    let fields = [("email", "ada@example.com"), ("password", PASSWORD), ("first_name", "Ada"), ("last_name", "Stout")];
    let response = node.visitor().form("/api/v1/signup", &fields).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(body(response).await["user"]["last_name"], "Stout");
    assert_eq!(node.visitor().sign_in("ada@example.com", PASSWORD).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_page_signs_in_at_once() {
    let node = Node::start().await;
    for (path, email) in [("/signup", "ada@example.com"), ("/register", "bob@example.com")] {
        let mut visitor = node.visitor();
        let fields = [("email", email), ("password", PASSWORD), ("first_name", "A"), ("last_name", "B")];
        let response = visitor.form(path, &fields).await;
        assert_eq!(
            (response.status(), &response.headers()[LOCATION]),
            (StatusCode::SEE_OTHER, &"/home".parse().unwrap())
        );
        assert_eq!(body(visitor.get("/profile").await).await["email"], email);
        assert_eq!(visitor.get("/account").await.status(), StatusCode::OK, "the second cookie came too");
    }
}

#[tokio::test]
async fn what_is_missing_is_asked_for() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    for given in [
        json!({}),
        json!({"email": "ada@example.com"}),
        json!({"email": "ada@example.com", "password": ""}),
        json!({"email": "ada@example.com", "password": null}),
        json!({"password": PASSWORD}),
        json!({"email": " \t", "password": PASSWORD}),
    ] {
        let told = refusal(visitor.post("/api/v1/signup", &given).await).await;
        assert_eq!(told, (400, Value::Null, "Please fill in all the fields.".to_owned()), "{given}");
    }
    for fields in [
        vec![("email", "ada@example.com"), ("password", PASSWORD), ("first_name", " "), ("last_name", "B")],
        vec![("email", "ada@example.com"), ("password", PASSWORD), ("first_name", "A"), ("last_name", "")],
        vec![("email", ""), ("password", PASSWORD), ("first_name", "A"), ("last_name", "B")],
        vec![("email", "ada@example.com"), ("password", ""), ("first_name", "A"), ("last_name", "B")],
    ] {
        let response = visitor.form("/signup", &fields).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{fields:?}");
        assert!(response.text().await.expect("a page").contains("Please fill in all the fields."));
    }
    assert_eq!(node.status().await.users, 0);
}

#[tokio::test]
async fn one_address_is_one_account_however_it_is_spelt() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    assert_eq!(sign_up(&mut visitor, "ada@example.com", PASSWORD).await.status(), StatusCode::CREATED);
    for spelling in
        ["ada@example.com", "Ada@EXAMPLE.com ", "\u{3000}ADA@example.COM\n", "ａｄａ@ｅｘａｍｐｌｅ．ｃｏｍ"]
    {
        let told = refusal(sign_up(&mut visitor, spelling, PASSWORD).await).await;
        assert_eq!((told.0, told.1), (409, Value::Null), "{spelling:?}");
        assert_eq!(node.visitor().sign_in(spelling, PASSWORD).await.status(), StatusCode::OK, "{spelling:?}");
    }
    assert_eq!(node.status().await.users, 1);
}

#[tokio::test]
async fn addresses_that_look_like_another_never_become_it() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    assert_eq!(sign_up(&mut visitor, "mike@github.com", PASSWORD).await.status(), StatusCode::CREATED);
    for spelling in [
        "mıke@github.com",
        "mike@gıthub.com",
        "mi\u{212a}e@github.com",
        "mike＠github.com",
        "mike@evil.com＠github.com",
        "mike@evil@github.com",
        "mi\u{200b}ke@github.com",
        "m\u{456}ke@github.com",
        "mike@github.com\0",
        "mike@github.com\r\nbcc: x@evil.com",
    ] {
        let response = sign_up(&mut visitor, spelling, PASSWORD).await;
        assert!(matches!(response.status().as_u16(), 400 | 422), "{spelling:?}: {}", response.status());
        let response = node.visitor().sign_in(spelling, PASSWORD).await;
        assert!(matches!(response.status().as_u16(), 400 | 401), "{spelling:?}: {}", response.status());
    }
    assert_eq!(node.status().await.users, 1);
}

#[tokio::test]
async fn a_rule_that_is_broken_is_told_with_its_field() {
    let node = Node::start().await;
    let mut visitor = node.visitor();
    let fine = json!({"email": "ada@example.com", "password": PASSWORD, "first_name": "Ada", "last_name": "Stout"});
    for (field, value) in [
        ("email", "nobody"),
        ("password", "seven 7"),
        ("first_name", "a\u{202e}b"),
        ("last_name", "two\r\nlines"),
        ("last_name", &"x".repeat(101)),
    ] {
        let mut given = fine.clone();
        given[field] = json!(value);
        let told = refusal(visitor.post("/api/v1/signup", &given).await).await;
        assert_eq!((told.0, &told.1), (422, &json!(field)), "{value:?}: {}", told.2);
    }
    assert_eq!(node.status().await.users, 0);
}

#[tokio::test]
async fn long_passwords_are_accepted_and_every_character_of_them_counts() {
    let node = Node::start().await;
    for length in [64, 128, 1_024] {
        let email = format!("long{length}@example.com");
        let password: String = "Pour another one! ".chars().cycle().take(length - 1).chain(['z']).collect();
        assert_eq!(sign_up(&mut node.visitor(), &email, &password).await.status(), StatusCode::CREATED, "{length}");
        let head = &password[..password.len() - 1];
        let others = [
            head.to_owned(),
            format!("{head}Z"),
            format!("{password} "),
            format!(" {password}"),
            password[..72.min(length - 1)].to_owned(),
        ];
        for other in others {
            let response = node.visitor().sign_in(&email, &other).await;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{length}: {other:?}");
        }
        assert_eq!(node.visitor().sign_in(&email, &password).await.status(), StatusCode::OK, "{length}");
    }
}

#[tokio::test]
async fn length_is_counted_in_code_points() {
    let node = Node::start().await;
    let told = refusal(sign_up(&mut node.visitor(), "seven@example.com", "🍺🍻🍷🍸🍹🍾🥂").await).await;
    assert_eq!((told.0, told.1), (422, json!("password")), "28 bytes, 14 UTF-16 units, 7 code points");
    let response = sign_up(&mut node.visitor(), "eight@example.com", "🍺🍻🍷🍸🍹🍾🥂🥃").await;
    assert_eq!(response.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn nothing_is_asked_of_what_a_password_is_made_of() {
    let node = Node::start().await;
    let fine = [
        "aaaa bbbb cccc dd",
        "27182818284590452353",
        "только буквы",
        "        x",
        "zero\u{0}width",
        "'; drop table users; --",
    ];
    for (n, password) in fine.into_iter().enumerate() {
        let email = format!("p{n}@example.com");
        assert_eq!(sign_up(&mut node.visitor(), &email, password).await.status(), StatusCode::CREATED, "{password:?}");
        assert_eq!(node.visitor().sign_in(&email, password).await.status(), StatusCode::OK, "{password:?}");
    }
    let cut = node.visitor().sign_in("p4@example.com", "zero").await;
    assert_eq!(cut.status(), StatusCode::UNAUTHORIZED, "a NUL ends nothing");
}

#[tokio::test]
async fn a_keyboard_that_composes_letters_and_one_that_does_not_reach_the_same_account() {
    let node = Node::start().await;
    let response = sign_up(&mut node.visitor(), "zoe@example.com", "caf\u{e9} cr\u{e8}me").await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let response = node.visitor().sign_in("zoe@example.com", "cafe\u{301} cre\u{300}me").await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn passwords_that_everybody_tries_first_are_refused_at_every_way_in() {
    let node = Node::with(&[("public_url", "http://login.brewery.example")]).await;
    let mut ada = node.person("ada.stout@example.com").await;
    for known in [
        "password",
        "PassWord1",
        "JENNIFER1",
        "trustno1",
        "12345678",
        "aaaaaaaa",
        "ada.stout@example.com",
        "Ada.Stout",
        "sojournsojourn",
        "login.brewery.example",
    ] {
        let told = refusal(sign_up(&mut node.visitor(), "ada.stout@example.com", known).await).await;
        assert_eq!((told.0, told.1), (422, json!("password")), "{known}");
        let change = json!({"current_password": PASSWORD, "new_password": known});
        let told = refusal(ada.post("/api/v1/password", &change).await).await;
        assert_eq!((told.0, told.1), (422, json!("password")), "{known}");
    }
    assert_eq!(node.visitor().sign_in("ada.stout@example.com", PASSWORD).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_huge_password_is_refused_before_it_costs_anything() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    let before = node.status().await.applied;
    let told = refusal(sign_up(&mut node.visitor(), "bob@example.com", &"x y ".repeat(15_000)).await).await;
    assert_eq!((told.0, told.1), (422, json!("password")));
    let told = refusal(sign_up(&mut node.visitor(), "bob@example.com", &"x".repeat(1_000_000)).await).await;
    assert_eq!(told.0, 413);
    let told = refusal(node.visitor().sign_in("ada@example.com", &"x".repeat(1_000_000)).await).await;
    assert_eq!(told.0, 413);
    assert_eq!(node.status().await.applied, before, "not even a try was counted");
    let told =
        refusal(node.visitor().sign_in("ada@example.com", &format!("{PASSWORD}{}", " ".repeat(1_100))).await).await;
    assert_eq!(told.0, 401);
}

#[tokio::test]
async fn where_sign_up_is_closed_nobody_signs_up() {
    for policy in ["closed", "invite"] {
        let node = Node::with(&[("users.signup", policy)]).await;
        let told = refusal(sign_up(&mut node.visitor(), "ada@example.com", PASSWORD).await).await;
        assert_eq!(told.0, 403, "{policy}");
        for path in ["/signup", "/register"] {
            let (status, page) = node.visitor().page(path).await;
            assert_eq!(status, StatusCode::FORBIDDEN);
            assert!(page.contains("Sign-up is closed") && !page.contains("<input"), "{policy}: {page}");
            let fields =
                [("email", "ada@example.com"), ("password", PASSWORD), ("first_name", "A"), ("last_name", "B")];
            assert_eq!(node.visitor().form(path, &fields).await.status(), StatusCode::FORBIDDEN);
        }
        assert_eq!(node.status().await.users, 0);
    }
}

#[tokio::test]
async fn of_fifty_sign_ups_of_one_address_at_once_one_wins() {
    let node = Node::start().await;
    let spellings = ["ada@example.com", "ADA@example.com", " ada@EXAMPLE.com"];
    let tries = (0..50).map(|n| {
        let mut visitor = node.visitor();
        let password = format!("a password of try {n}");
        async move { sign_up(&mut visitor, spellings[n % 3], &password).await.status().as_u16() }
    });
    let statuses = join_all(tries).await;
    assert_eq!(statuses.iter().filter(|s| **s == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|s| matches!(s, 201 | 409)), "{statuses:?}");
    assert_eq!(node.status().await.users, 1);
    let winner = statuses.iter().position(|s| *s == 201).expect("one");
    let response = node.visitor().sign_in("ada@example.com", &format!("a password of try {winner}")).await;
    assert_eq!(response.status(), StatusCode::OK, "the account is the winner's whole");
}

#[tokio::test]
async fn names_are_shown_as_text_whatever_they_hold() {
    let node = Node::start().await;
    let hostile = [
        "<img src=x onerror=alert(1)>",
        "\"><script>alert(1)</script>",
        "{{ 7 * 7 }}{% raw %}",
        "'; drop table users; --",
        "O'Brien-Ñandú 李 \u{1f37a}",
        "%s%n${x}",
    ];
    for (n, name) in hostile.into_iter().enumerate() {
        let email = format!("h{n}@example.com");
        let given = json!({"email": email, "password": PASSWORD, "first_name": name, "last_name": name});
        let told = body(node.visitor().post("/api/v1/signup", &given).await).await;
        assert_eq!(told["user"]["first_name"], name);
        let mut person = node.visitor();
        person.sign_in(&email, PASSWORD).await;
        assert_eq!(body(person.get("/profile").await).await["last_name"], name);
        for path in ["/", "/home", "/account"] {
            let (status, page) = person.page(path).await;
            assert_eq!(status, StatusCode::OK);
            assert!(!page.contains("<img src=x") && !page.contains("<script"), "{path}: {page}");
            assert!(!name.contains("7 * 7") || page.contains("{{ 7 * 7 }}"), "{path}: {page}");
        }
    }
    assert_eq!(node.status().await.users, hostile.len() as u64);
}

#[tokio::test]
async fn a_page_that_was_refused_keeps_what_was_written_but_the_password() {
    let node = Node::start().await;
    let fields = [("email", "\"><b>ada"), ("password", "secret-to-nobody"), ("first_name", "<i>A"), ("last_name", "B")];
    let request = node.visitor().request(Method::POST, "/signup").header(ACCEPT, "text/html").form(&fields);
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = response.text().await.expect("a page");
    assert!(page.contains("&lt;i&gt;A") && !page.contains("<i>A") && !page.contains("<b>ada"), "{page}");
    assert!(!page.contains("secret-to-nobody"));
}

#[tokio::test]
async fn accounts_of_an_operator_are_approved_and_those_of_people_wait() {
    let node = Node::start().await;
    node.visitor().sign_up("ada@example.com").await;
    let shown = node.ask(Request::UserShow { email: "ADA@example.com".into() }).await;
    let Ok(Answer::User(account)) = shown else { panic!("{shown:?}") };
    assert!(!account.approved && !account.verified && !account.admin && !account.disabled);
    assert_eq!(account.password_scheme, "argon2id");
}
