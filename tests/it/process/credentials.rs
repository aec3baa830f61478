//! Apps and tokens on the command line: secrets alone on standard output, once; what is granted is said plainly.

use crate::program::Place;

#[test]
fn apps_are_added_listed_rotated_and_removed() {
    let place = Place::new();
    let node = place.start();
    let added = place.run(&["app", "add", "shop", "--prefix", "shop:", "--share", "10"]);
    assert_eq!((added.status, added.out.trim_end().len()), (0, 43), "{}{}", added.out, added.err);
    assert!(!added.err.contains("caution"), "{}", added.err);
    let granted = place.run(&["app", "add", "all", "--prefix", "sess:", "--may-sign-in", "--json"]);
    assert!(
        granted.err.contains("caution: sess: reaches people's sessions: all can read, change and end"),
        "{}",
        granted.err
    );
    assert!(granted.err.contains("counts as signed in"), "{}", granted.err);
    let granted: serde_json::Value = serde_json::from_str(&granted.out).expect("JSON");
    assert_eq!((granted["may_sign_in"].as_bool(), granted["password"].as_str().map(str::len)), (Some(true), Some(43)));
    let listed = place.json(&["app", "list"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    assert_eq!((&listed[1]["name"], &listed[1]["share"]), (&"shop".into(), &10.into()));
    assert!(!listed.to_string().contains("password") && !listed.to_string().contains(added.out.trim_end()));
    assert!(place.done(&["app", "list"]).starts_with("NAME"));
    let overlap = place.run(&["app", "add", "cart", "--prefix", "shop:cart:"]);
    assert!(overlap.status == 1 && overlap.err.contains("reach into each other"), "{}", overlap.err);
    assert_ne!(place.done(&["app", "rotate", "shop"]), added.out);
    assert_eq!(place.done(&["app", "remove", "shop"]), "removed shop; what it keeps stays until it ends\n");
    let gone = place.run(&["app", "remove", "shop"]);
    assert!(gone.status == 1 && gone.err.contains("hint: `sojourn app list` shows all apps"), "{}", gone.err);
    assert!(place.run(&["app", "add", "x", "--prefix", "x:", "--share", "101"]).status == 2);
    node.stop();
}

#[test]
fn tokens_are_made_listed_and_ended_and_end_with_a_restore() {
    let place = Place::new();
    let node = place.start();
    place.done(&["user", "add", "ada@example.com"]);
    let add = ["token", "add", "ada@example.com", "--name", "ci", "--scope", "profile,sessions", "--expires", "90d"];
    let token = place.done(&add);
    assert!(token.starts_with("sjt_") && token.len() == 41, "{token}");
    let listed = place.json(&["token", "list", "ada@example.com"]);
    assert_eq!(listed[0]["scopes"], serde_json::json!(["profile", "sessions"]));
    assert!(!listed.to_string().contains(token.trim_end()));
    let backup = place.file("backup").display().to_string();
    place.done(&["backup", &backup]);
    let id = listed[0]["id"].as_str().expect("an id");
    assert_eq!(place.done(&["token", "remove", id]), format!("ended {id}\n"));
    assert_eq!(place.json(&["token", "list", "ada@example.com"]), serde_json::json!([]));
    assert!(place.run(&["token", "remove", id]).err.contains("token list"));
    assert!(place.run(&["token", "list", "eve@example.com"]).err.contains("user not found"));
    node.stop();
    for (keep, left) in [(&[][..], 0), (&["--keep-sessions"][..], 1)] {
        let other = Place::new();
        other.done(&[&["restore", &backup], keep].concat());
        let node = other.start();
        let listed = other.json(&["token", "list", "ada@example.com"]);
        assert_eq!(listed.as_array().map(Vec::len), Some(left), "{keep:?}");
        node.stop();
    }
}
