//! Apps and tokens as operators see them.

use super::*;
use crate::control::protocol::{NewApp, NewToken};

#[test]
fn an_app_is_added_and_its_password_stands_alone() {
    let node = Node::start(true);
    assert_eq!(node.prints(&["app", "add", "shop", "--prefix", "shop:", "--may-sign-in"]), "TheAppPassword\n");
    let new = NewApp { name: "shop".into(), prefix: "shop:".into(), may_sign_in: true, share: 50 };
    assert_eq!(node.asked(), Request::AppAdd(new));
    let json: serde_json::Value =
        serde_json::from_str(&node.prints(&["app", "rotate", "shop", "--json"])).expect("is JSON");
    assert_eq!((&json["password"], &json["prefix"]), (&"TheAppPassword".into(), &"shop:".into()));
    insta::assert_snapshot!(node.prints(&["app", "list"]), @"
    NAME  PREFIX  USES      OF    CREATED
    shop  shop:   2.00 KiB  50 %  2023-11-14 22:13:20Z  may sign in
    ");
    assert_eq!(node.prints(&["app", "remove", "shop"]), "removed shop; what it keeps stays until it ends\n");
}

#[test]
fn a_token_is_made_and_stands_alone() {
    let node = Node::start(true);
    let args = ["token", "add", "ada@example.com", "--name", "ci", "--scope", "profile,sessions", "--expires", "90d"];
    assert_eq!(node.prints(&args), "sjt_TheToken\n");
    let scopes = vec!["profile".into(), "sessions".into()];
    let lifetime_ms = Some(90 * 86_400_000);
    let new = NewToken { email: "ada@example.com".into(), name: "ci".into(), scopes, lifetime_ms };
    assert_eq!(node.asked(), Request::TokenAdd(new));
    node.prints(&["token", "add", "ada@example.com", "--name", "ci"]);
    let Request::TokenAdd(plain) = node.asked() else { panic!("was to add") };
    assert_eq!((plain.scopes, plain.lifetime_ms), (vec!["profile".to_owned()], None));
    insta::assert_snapshot!(node.prints(&["token", "list", "ada@example.com"]), @"
    ID        NAME     SCOPES            CREATED               LAST USED   EXPIRES
    0199a1b2  ci�[31m  profile,sessions  2023-11-14 22:13:20Z  2023-11-14  never
    ");
    assert_eq!(node.prints(&["token", "remove", "0199a1b2"]), "ended 0199a1b2\n");
}
