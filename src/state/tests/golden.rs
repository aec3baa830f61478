//! Golden bytes: what lies on disks today. Whoever changes one of these raises the format's version and reads the old
//! one too, or loses what people stored.

use std::fs;

use super::super::entry::NEVER;
use super::super::{Facts, Glance, NewUser, Proof, Record, Signed, UserChange, codec, snapshot};
use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}

fn facts() -> Facts {
    Facts {
        signed: Some(Signed { user: "u-1".into(), epoch: 3, proof: Proof::Link, own: [0xab; 16] }),
        begun: NOW,
        absolute: NOW + LIFETIME,
        idle_ms: IDLE,
        remember: true,
        address: "2001:db8::1".into(),
        agent: "Firefox".into(),
    }
}

fn session() -> Entry {
    Entry::session(&facts(), br#"{"cookie":{}}"#, NOW + IDLE, NOW).held(&key("a"), 258)
}

fn record() -> Record {
    let user = NewUser {
        id: "u-1".into(),
        email: "a@b.c".into(),
        first_name: "Ada".into(),
        last_name: String::new(),
        password_hash: "$x$".into(),
        created_at: NOW,
        admin: true,
        approved: false,
        verified: true,
    };
    let effects = vec![
        Effect::Put(key("a"), Entry::dead(NOW + 5, NOW)),
        Effect::Remove(Key::tries("account", "x")),
        Effect::Put(Key::epoch("u-1"), Entry::plain(&3u64.to_le_bytes(), NEVER, NOW)),
    ];
    let first = Change { effects, user: None };
    Record { stamp: NOW, changes: vec![first, Change { effects: Vec::new(), user: Some(UserChange::Add(user)) }] }
}

const FACTS: &str = "\
    5380c0e285e36880f0b25280bab70303abababababababababababababababab03752d3120010db800000000000000000000\
    00010746697265666f78";
const SESSION: &str = "\
    803e9318a301000000505c18a30100000201000000000000013c005380c0e285e36880f0b25280bab70303ababababababab\
    ababababababababab03752d3120010db80000000000000000000000010746697265666f787b22636f6f6b6965223a7b7d7d";
const RECORD: &str = "\
    01fd00a0b8304603000002030006736573733a611b05505c18a301000000505c18a301000000000000000000000200000110\
    0074726965733a6163636f756e743a78000a0065706f63683a752d3123ffffffffffffff7f00505c18a30100000000000000\
    00000000000003000000000000000000010003752d31056140622e63034164610003247824fd00a0b83046030000010001";
const SNAPSHOT: &str = "\
    534f4a4f55524e0101110000001f1e1dff01fb2c01fd00a0b83046030000030102030272000000c5148d2e06000000640000\
    00736573733a61803e9318a301000000505c18a30100000201000000000000013c005380c0e285e36880f0b25280bab70303\
    abababababababababababababababab03752d3120010db80000000000000000000000010746697265666f787b22636f6f6b\
    6965223a7b7d7d05080000009c56bbee0200000000000000";

#[test]
fn facts_are_these_bytes() {
    let mut packed = Vec::new();
    facts().pack(&mut packed);
    assert_eq!(hex(&packed), FACTS);
    assert_eq!(Glance::of(&unhex(FACTS)).and_then(|glance| glance.facts()), Some(facts()));
}

#[test]
fn an_entry_is_these_bytes() {
    let session = session();
    let (header, rest) = session.packed();
    assert_eq!(hex(header) + &hex(rest), SESSION);
    let read = Entry::unpacked(key("a").as_bytes(), &unhex(SESSION)).expect("an entry");
    assert_eq!(read, session);
    assert_eq!((read.deadline(), read.stamp(), read.index()), (NOW + IDLE, NOW, 258));
    assert!(read.is_of("u-1") && read.facts() == Some(facts()));
    assert_eq!(read.value(), br#"{"cookie":{}}"#);
}

#[test]
fn a_log_record_is_these_bytes() {
    assert_eq!(hex(&codec::encode(&record())), RECORD);
    assert_eq!(codec::decode::<Record>(&unhex(RECORD)).expect("a record"), record());
}

/// Every variant has its number by its place: a new one goes to the end.
#[test]
fn changes_to_users_keep_their_numbers() {
    let user = || "u".to_owned();
    let numbered = [
        UserChange::Import(Vec::new()),
        UserChange::SetPassword { user: user(), hash: "h".into(), only_if: None },
        UserChange::SetNames { user: user(), first_name: "f".into(), last_name: "l".into() },
        UserChange::SetDisabled { user: user(), disabled: true },
        UserChange::Approve { user: user() },
        UserChange::Delete { user: user() },
        UserChange::SetGroups { user: user(), groups: vec!["g".into()] },
    ];
    let bytes: Vec<String> = numbered.iter().map(|change| hex(&codec::encode(change))).collect();
    assert_eq!(
        bytes,
        ["010100", "01020175016800", "010301750166016c", "0104017501", "01050175", "01060175", "010d0175010167"]
    );
}

/// The head, one block of entries and the end; the users' block between them is SQLite's own format.
#[test]
fn a_snapshot_is_these_bytes_and_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = super::super::State::open(dir.path()).expect("the state opens");
    state.generation().entries.put(&key("a"), &session(), 258);
    let head = snapshot::Head { index: 300, stamp: NOW, label: vec![1, 2, 3] };
    let file = dir.path().join("written");
    snapshot::write(&state.generation(), &head, &file).expect("written");
    let written = hex(&fs::read(&file).expect("the file"));
    let (before_end, end) = SNAPSHOT.split_at(SNAPSHOT.len() - 2 * 17);
    assert_eq!(written[..before_end.len()], *before_end);
    assert!(written[before_end.len()..].starts_with("03"), "the users' database follows");
    assert!(end.starts_with("0508000000"), "an end counts the blocks");

    let file = dir.path().join("given");
    fs::write(&file, unhex(SNAPSHOT)).expect("written");
    let entries = Entries::new();
    assert_eq!(snapshot::read(&file, &entries, None).expect("read"), head);
    assert_eq!(entries.get(&key("a")), Some(session()));
}

#[test]
fn a_snapshot_with_one_bit_changed_or_a_byte_less_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("damaged");
    let whole = unhex(SNAPSHOT);
    let refused = |bytes: &[u8]| {
        fs::write(&file, bytes).expect("written");
        snapshot::read(&file, &Entries::new(), None).is_err()
    };
    assert!(!refused(&whole));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(refused(&damaged), "a bit of byte {at}");
        assert!(refused(&whole[..at]), "cut at {at}");
    }
}

#[test]
fn a_frame_of_another_version_or_with_bytes_left_over_is_refused() {
    let mut frame = unhex(RECORD);
    frame.push(0);
    assert!(codec::decode::<Record>(&frame).is_err());
    frame.pop();
    frame[0] = 2;
    let told = codec::decode::<Record>(&frame).expect_err("another version").to_string();
    assert!(told.contains("format 2") && told.contains("format 1"), "{told}");
    for end in 0..frame.len() {
        assert!(codec::decode::<Record>(&unhex(RECORD)[..end]).is_err(), "cut at {end}");
    }
}
