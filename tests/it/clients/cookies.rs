//! Cookies: ten thousand that Express's own packages made are read here, and ten thousand of ours are read there.

use std::io::Write as _;
use std::process::Stdio;

use serde::Deserialize;
use serde_json::json;
use sojourn::identity::cookie::Signer;

use super::{are_wanted, command, scripts};
use crate::process::Dice;

const COUNT: usize = 10_000;
const SECRET: &str = "пароль für Zwölf: a secret of apps";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What the script answers.
#[derive(Deserialize)]
struct Theirs {
    refused: Vec<(String, String)>,
    cookies: Vec<(String, String)>,
}

fn rolled() -> Dice {
    let (dice, seed) = Dice::seeded();
    println!("TEST_SEED={seed}");
    dice
}

fn below(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.below(end as u64)).expect("it is below a usize")
}

/// Has Express read ours and make its own.
fn crossed(ours: &[(String, String)]) -> Theirs {
    let mut command = command("cookies.cjs");
    command.current_dir(scripts()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = command.spawn().expect("node runs");
    let told = json!({"secret": SECRET, "cookies": ours}).to_string();
    node.stdin.take().expect("it is piped").write_all(told.as_bytes()).expect("it reads");
    let done = node.wait_with_output().expect("it ends");
    assert!(done.status.success());
    serde_json::from_slice(&done.stdout).expect("it answers JSON")
}

fn sid(signer: &Signer, cookie: &str) -> Option<String> {
    signer.verify(cookie).map(|verified| verified.sid)
}

#[test]
fn ten_thousand_cookies_cross_each_way() {
    if !are_wanted() {
        return;
    }
    let (signer, mut dice) = (Signer::new(&[SECRET]), rolled());
    let sid_of = |dice: &mut Dice| (0..32).map(|_| URL_SAFE[below(dice, 64)] as char).collect::<String>();
    let ours: Vec<_> = (0..COUNT).map(|_| sid_of(&mut dice)).map(|sid| (sid.clone(), signer.sign(&sid))).collect();
    let theirs = crossed(&ours);
    assert!(theirs.refused.is_empty(), "Express refuses {:?}", &theirs.refused[..1]);
    assert_eq!(theirs.cookies.len(), COUNT);
    for (expected, cookie) in &theirs.cookies {
        assert_eq!(sid(&signer, cookie).as_ref(), Some(expected), "{cookie}");
        assert_eq!(&signer.sign(expected), cookie, "byte for byte");
        refused_when_touched(&signer, cookie, &mut dice);
    }
}

#[test]
fn cookies_that_were_touched_are_refused_there_as_here() {
    if !are_wanted() {
        return;
    }
    let (signer, mut dice) = (Signer::new(&[SECRET]), rolled());
    let touched = |number: usize| {
        let sid = format!("{number:032}");
        let cookie = signer.sign(&sid);
        (sid, flipped(&cookie, &mut dice))
    };
    let touched: Vec<_> = (0..1_000).map(touched).filter(|(sid, cookie)| *cookie != signer.sign(sid)).collect();
    let theirs = crossed(&touched);
    for (expected, cookie) in &touched {
        let read_there = !theirs.refused.iter().any(|(_, refused)| refused == cookie);
        let read_here = sid(&signer, cookie).as_ref() == Some(expected);
        // what Express refuses is refused here; we may be stricter
        assert!(read_there || !read_here, "{cookie}");
    }
    assert!(theirs.refused.len() > 900, "{} were refused", theirs.refused.len());
}

/// One bit of one character.
fn flipped(cookie: &str, dice: &mut Dice) -> String {
    let mut bytes = cookie.as_bytes().to_vec();
    loop {
        let (at, bit) = (below(dice, bytes.len()), below(dice, 7));
        bytes[at] ^= 1 << bit;
        // what ends a cookie is no part of its value
        let is_token = |b: &u8| b.is_ascii_graphic() && !b";,\"\\ ".contains(b);
        if bytes.iter().all(is_token) {
            return String::from_utf8(bytes).expect("ASCII");
        }
        bytes[at] ^= 1 << bit;
    }
}

/// Flipped bits, base64 that is none, and padding: no cookie any more, unless it spells the very same bytes.
fn refused_when_touched(signer: &Signer, cookie: &str, dice: &mut Dice) {
    let plain = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let other = flipped(cookie, dice);
    if plain(&other) != plain(cookie) {
        assert_eq!(sid(signer, &other), None, "{other}");
    }
    // the last character holds four bits that decide nothing: sixteen spellings, of which one is ours
    let last = cookie.chars().last().expect("a signature");
    let spelled = BASE64.iter().map(|b| *b as char).filter(|c| *c != last).nth(below(dice, 63)).expect("there are 63");
    let escaped = match spelled {
        '+' => "%2B".to_owned(),
        '/' => "%2F".to_owned(),
        other => other.to_string(),
    };
    let head = cookie.strip_suffix(last).expect("it ends so");
    // an escaped last character would leave half an escape behind
    let is_escaped = cookie.as_bytes()[cookie.len() - 3] == b'%';
    if !is_escaped {
        assert_eq!(sid(signer, &format!("{head}{escaped}")), None);
    }
    for wrong in [
        format!("{cookie}%3D"),
        format!("{cookie}="),
        format!("{cookie}A"),
        head.to_owned(),
        cookie.replacen("s%3A", "", 1),
        cookie.replacen("s%3A", "j%3A", 1),
        cookie.rsplit_once('.').expect("a signature").0.to_owned(),
        format!("{cookie} "),
    ] {
        assert_eq!(sid(signer, &wrong), None, "{wrong}");
    }
}
