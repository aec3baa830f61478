//! Tests: hashes that other programs made (passlib, argon2-cffi, bcrypt, Django, hashlib), and our own.

use proptest::prelude::*;

use super::*;

/// In form C; the vectors below were made of its UTF-8.
const PASSWORD: &str = "correct horse battery st\u{e5}ple";

/// From another implementation each.
const FOREIGN: [&str; 21] = [
    "$argon2id$v=19$m=1024,t=2,p=2$w/ZAOQCrya1njgWY3oWV4w$5HpwbGh77EH7buIvlDRe7u9aDGTuhDv2IgxaZ9M/Pag",
    "$argon2i$v=19$m=512,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$KtFdYN+i7auju+17xfLp4+c2I1nNiYsyObuIFAqaHfA",
    "$argon2i$v=16$m=512,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$GsaCjN6YFriYKLtdxgsKOdChR4THvDSLPsDKbfb2LGI",
    "$argon2i$m=512,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$GsaCjN6YFriYKLtdxgsKOdChR4THvDSLPsDKbfb2LGI",
    "$argon2d$v=19$m=512,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$/+aLQZ2ardX2N6z24AraQa8bE9FXq+s8L4xyYjKduBE",
    "$argon2d$v=16$m=512,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$V57ssXbQRDRC0MlI7UXmXZKl7aBNgdfyEIlDbYBO0Y4",
    "$argon2id$v=19$m=32768,t=1,p=1$fhwBNkcezmGkvEcRjxtTcA$/Mws+OxC8N0lHBVFQkD6OR3j1rGrs5WnLKDJeNMbHg8",
    "$argon2id$v=19$m=256,t=1,p=4$prS2tjaGcE6JUapVSmmNUQ$DkmbWcggSPncqeGJ6EzT0CVU+paNUXIyUqXzht3GFIM",
    "$2a$04$XdXnLdn2gMTXn2uldhPieeILir8ZGibxRi1Qu3j92kfXGBTHrs.V.",
    "$2b$04$dEWzCiAmQyfRLg122ISW..p.PoCE/StwndJHTB4O7B.M9.9Xn4McO",
    "$2y$04$I.tPEX2tkcFYFF2ERT9qLebzAgOENX2ApiOmLWMKkqOajhIG5hBP2",
    "$scrypt$ln=10,r=8,p=2$AcCY09qbc+4dA0DIWWuttQ$7fTO7jou2/sJE52pFhBKe07t8C6iLBJXHqZyf6hQcKs",
    "$scrypt$ln=9,r=4,p=1$c2FsdC1vZi0xNi1ieXRlcw$THQ0kGOWbqNHqb0HahG3sIunSL1Onk+EC7FhPBz51O4",
    "$pbkdf2-sha256$1000$Rghh7P2fU0oJISTkXMu5Fw$/Va3w6PPa2Y3k33OiDfzwXSApREBjYe/tSX30q98/zE",
    "$pbkdf2-sha512$1000$4hyjlJLS.p9T6h1jjHGOUQ$jLmu/7nAJ/RWpThQUIAjSPHd6Jb9vjdu7dS/w61KmDWbf1V.c81/zlEYT0l//RGo\
     PyIlI3uMG4eJlKM76PJjfw",
    "$pbkdf2-sha256$i=1200,l=32$c2FsdC1vZi0xNi1ieXRlcw$Q9tHfmB+4nY+21u/Z1lABozK9B7/tyhn11LAyW6iJ1E",
    "$pbkdf2-sha512$i=1200$c2FsdC1vZi0xNi1ieXRlcw$nrnDx2rdlxee1IaGQTOfcSYa18VNcgmGRbgmNBHUaJ1pFaPUSsdNPUdICQFsCZfR\
     K8vt3Sk8XUVs0ANI9Utgvg",
    "pbkdf2_sha256$1000$Fl3EzPMbYe9Y$RkxCixKGdFs3dny4VFTUc4D845gXi3QZfhnre8dfpWA=",
    "pbkdf2_sha256$1500$AbCdEf0123456789abcdef$xRdnlOeoP3YhXwBlBkkLzXnVmbXXHKcsydH+YV06ybo=",
    // the same parameters in another order, and padded
    "$argon2id$v=19$t=2,p=2,m=1024$w/ZAOQCrya1njgWY3oWV4w==$5HpwbGh77EH7buIvlDRe7u9aDGTuhDv2IgxaZ9M/Pag=",
    // the last character of the salt with bits that mean nothing
    "$2b$04$dEWzCiAmQyfRLg122ISW.Np.PoCE/StwndJHTB4O7B.M9.9Xn4McO",
];

/// The account that came with a bcrypt hash of `password`.
const SEED: &str = "$2y$12$7Mj1fG3bdlpmRcXtZpwimOI4pItCQcj5x2.ZqydPbR5wWlKGVaQVe";

fn pool() -> HashPool {
    HashPool::new(1).expect("a thread")
}

fn verdict(matched: bool, rehash: bool) -> Verdict {
    Verdict { matched, rehash }
}

#[tokio::test]
async fn what_is_hashed_is_verified_and_nothing_else_is() {
    let pool = pool();
    let hash = pool.hash("pass\0wörd ").await.expect("hashes");
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_eq!(pool.verify("pass\0wörd ", Some(&hash)).await.expect("verifies").0, verdict(true, false));
    for other in ["pass\0wörd", " pass\0wörd ", "pass", "Pass\0wörd ", "pass\0word ", ""] {
        assert_eq!(pool.verify(other, Some(&hash)).await.expect("verifies").0, Verdict::NO, "{other:?}");
    }
}

#[tokio::test]
async fn the_same_password_never_hashes_to_the_same_string() {
    let pool = pool();
    assert_ne!(pool.hash(PASSWORD).await.expect("hashes"), pool.hash(PASSWORD).await.expect("hashes"));
}

#[tokio::test]
async fn hashes_of_other_programs_are_verified_and_wanted_anew() {
    let pool = pool();
    for hash in FOREIGN {
        assert_eq!(pool.verify(PASSWORD, Some(hash)).await.expect(hash).0, verdict(true, true), "{hash}");
        assert_eq!(pool.verify("correct horse battery staple", Some(hash)).await.expect(hash).0, Verdict::NO, "{hash}");
    }
    assert_eq!(pool.verify("password", Some(SEED)).await.expect("verifies").0, verdict(true, true));
    assert_eq!(pool.verify("Password", Some(SEED)).await.expect("verifies").0, Verdict::NO);
}

#[tokio::test]
async fn all_refusals_take_as_long_as_the_slowest_since_the_start() {
    let pool = pool();
    let ours = pool.hash(PASSWORD).await.expect("hashes");
    let wait = async |stored: Option<&str>| pool.verify("wrong", stored).await.expect("verifies").1;
    assert_eq!((wait(None).await, wait(Some(&ours)).await), (Duration::ZERO, Duration::ZERO));
    // costlier than ours: bcrypt of cost 12
    assert_eq!(wait(Some(SEED)).await, Duration::ZERO, "it is the slowest");
    for stored in [None, Some(ours.as_str()), Some(FOREIGN[13])] {
        let mut waited = false;
        for _ in 0..5 {
            // one that a busy machine made slow itself waits for nobody
            waited |= wait(stored).await > Duration::ZERO;
        }
        assert!(waited, "{stored:?}");
    }
}

#[test]
fn a_hash_that_costs_next_to_nothing_is_refused_no_sooner_than_ours() {
    let mut memory = Memory::default();
    let cheap = recognise(FOREIGN[13]).expect("PBKDF2");
    assert_eq!(check(&forms("wrong"), Some(&cheap), &mut memory).expect("checks"), Verdict::NO);
    assert!(!memory.blocks.is_empty(), "argon2 ran, too");
}

#[tokio::test]
async fn a_stronger_argon2id_is_kept_and_a_weaker_one_is_not() {
    let pool = pool();
    let ours = pool.hash(PASSWORD).await.expect("hashes");
    let strong = recognise(&ours.replace("m=19456", "m=32768")).expect("reads");
    assert!(is_current(&strong) && !is_ours(&strong), "kept, but slower to refuse");
    assert!(is_ours(&dummy()) && is_ours(&recognise(&ours).expect("reads")));
    for weaker in ["m=9216,t=2", "m=19456,t=1"] {
        assert!(!is_current(&recognise(&ours.replace("m=19456,t=2", weaker)).expect("reads")), "{weaker}");
    }
    assert!(!is_current(&recognise(&ours.replace("argon2id", "argon2i")).expect("reads")));
    assert!(!is_current(&recognise(&ours.replace("v=19", "v=16")).expect("reads")));
}

#[tokio::test]
async fn composed_and_decomposed_spellings_are_one_password() {
    let (pool, decomposed) = (pool(), "correct horse battery sta\u{30a}ple");
    let hash = pool.hash(decomposed).await.expect("hashes");
    assert_eq!(pool.verify(PASSWORD, Some(&hash)).await.expect("verifies").0, verdict(true, false));
    assert!(pool.verify(decomposed, Some(&hash)).await.expect("verifies").0.matched);
    // imported, made of the decomposed bytes: only those match, and the account moves to form C
    let imported = "$2b$04$CBtCzlCmc9Ae.J7Pd9WWq.5ygRope2mPRQITfhbc8KzNY5cT5eaeS";
    assert_eq!(pool.verify(decomposed, Some(imported)).await.expect("verifies").0, verdict(true, true));
    assert_eq!(pool.verify(PASSWORD, Some(imported)).await.expect("verifies").0, Verdict::NO);
    assert!(pool.verify(decomposed, Some(FOREIGN[9])).await.expect("verifies").0.matched, "made of form C");
}

#[tokio::test]
async fn imported_bcrypt_ends_at_72_bytes_as_it_did_and_ours_does_not() {
    let (pool, imported) = (pool(), "$2b$04$BB9S0le99dj44Lv9wGWo7uAj9qLvPA.uEIYxR4fAjIUgRRMw0Jd3W");
    let long = format!("{}yz-beyond", "x".repeat(71));
    assert!(pool.verify(&long, Some(imported)).await.expect("verifies").0.matched);
    assert!(!pool.verify(&long[..71], Some(imported)).await.expect("verifies").0.matched);
    let hash = pool.hash(&long).await.expect("hashes");
    assert!(!pool.verify(&long[..72], Some(&hash)).await.expect("verifies").0.matched);
    assert!(!pool.verify(&format!("{long}!"), Some(&hash)).await.expect("verifies").0.matched);
}

#[tokio::test]
async fn bcrypt_of_nothing_does_not_let_a_nul_in() {
    let (pool, empty) = (pool(), "$2b$04$ReFXr12fJFyw5nK0I4UPnuod9cIdaEMvvBpuE7DPAAOddvEp0pnPm");
    assert!(pool.verify("", Some(empty)).await.expect("verifies").0.matched);
    assert!(!pool.verify("x\0y", Some(empty)).await.expect("verifies").0.matched);
}

#[tokio::test]
async fn without_a_stored_hash_the_answer_is_no_and_the_work_is_done_all_the_same() {
    let pool = pool();
    for nothing in [None, Some("")] {
        assert_eq!(pool.verify("", nothing).await.expect("verifies").0, Verdict::NO);
        assert_eq!(pool.verify(PASSWORD, nothing).await.expect("verifies").0, Verdict::NO);
    }
    let mut memory = Memory::default();
    check(&forms(PASSWORD), None, &mut memory).expect("runs");
    assert_eq!(memory.blocks.len(), MEMORY_KIB as usize, "a hash of the current parameters was made");
    assert!(is_current(&dummy()));
}

#[tokio::test]
async fn a_password_past_the_limit_is_turned_away_before_it_costs_anything() {
    let (pool, long) = (pool(), "x".repeat(crate::limits::PASSWORD_BYTES_MAX + 1));
    assert!(matches!(pool.hash(&long).await, Err(Error::Unacceptable { field: "password", .. })));
    assert_eq!(pool.verify(&long, None).await.expect("answers").0, Verdict::NO);
    assert_eq!(pool.holding(), 0, "no thread worked");
    let longest = &long[1..];
    let hash = pool.hash(longest).await.expect("hashes");
    assert!(pool.verify(longest, Some(&hash)).await.expect("verifies").0.matched);
}

#[tokio::test]
async fn a_stored_hash_that_cannot_be_read_is_our_fault_not_a_wrong_password() {
    assert!(matches!(pool().verify("x", Some("plain text")).await, Err(Error::Broken(_))));
}

#[test]
fn hashes_that_would_cost_too_much_are_refused_unrun() {
    let (salt, hash) = ("MDEyMzQ1Njc4OWFiY2RlZg", "KtFdYN+i7auju+17xfLp4+c2I1nNiYsyObuIFAqaHfA");
    for head in [
        "$argon2id$v=19$m=1048577,t=1,p=1",
        "$argon2id$v=19$m=1048576,t=9,p=1",
        "$argon2id$v=19$m=4294967295,t=4294967295,p=1",
        "$argon2id$v=19$m=65536,t=1,p=256",
        "$scrypt$ln=21,r=8,p=1",
        "$scrypt$ln=63,r=8,p=1",
        "$scrypt$ln=255,r=8,p=1",
        "$scrypt$ln=300,r=8,p=1",
        "$scrypt$ln=1,r=4294967295,p=4294967295",
        "$scrypt$ln=16,r=8,p=1000",
        "$pbkdf2-sha256$10000001",
        "$pbkdf2-sha512$i=10000001",
    ] {
        let why = recognise(&format!("{head}${salt}${hash}")).expect_err(head);
        assert!(why.contains("cost too much"), "{head}: {why}");
    }
    for whole in [SEED.replace("$12$", "$17$"), format!("pbkdf2_sha256$10000001$salt${hash}=")] {
        assert!(recognise(&whole).expect_err("too costly").contains("cost too much"), "{whole}");
    }
    assert!(recognise(&format!("$argon2id$v=19$m=1048576,t=8,p=1${salt}${hash}")).is_ok(), "at the limit");
}

#[test]
fn what_is_no_hash_is_refused_with_a_reason() {
    let ours = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$KtFdYN+i7auju+17xfLp4+c2I1nNiYsyObuIFAqaHfA";
    assert!(recognise(ours).is_ok());
    for (from, to) in [
        ("v=19", "v=20"),
        ("m=19456", "m=+19456"),
        ("m=19456", "m=7"),
        ("t=2", "t=0"),
        ("p=1", "p=0"),
        (",p=1", ""),
        ("p=1", "p=1,t=3"),
        ("p=1", "p=1,keyid=AAAA"),
        ("MDEyMzQ1Njc4OWFiY2RlZg", ""),
        ("MDEyMzQ1Njc4OWFiY2RlZg", "MDEy"),
        ("KtFdYN+i7auju+17xfLp4+c2I1nNiYsyObuIFAqaHfA", ""),
        ("KtFdYN+i7auju+17xfLp4+c2I1nNiYsyObuIFAqaHfA", "KtFdYA"),
        ("KtFd", "Kt d"),
        ("$argon2id", "argon2id"),
    ] {
        let changed = ours.replace(from, to);
        assert!(recognise(&changed).is_err(), "{changed}");
    }
    for no_hash in ["", "password", "$", "$2y$12$short", "$2x$12$7Mj1fG3bdlpmRcXtZpwimOI4pItCQcj5x2.ZqydPbR5wWlKGVaQVe"]
    {
        assert!(recognise(no_hash).is_err(), "{no_hash}");
    }
    assert!(recognise(&SEED.replace("$12$", "$03$")).is_err());
    assert!(recognise("$pbkdf2-sha256$i=1200,l=31$c2FsdA$Q9tHfmB+4nY+21u/Z1lABozK9B7/tyhn11LAyW6iJ1E").is_err());
    assert!(recognise(&format!("{ours}{}", "A".repeat(500))).is_err());
}

#[test]
fn a_scheme_prints_its_name_and_no_secret() {
    assert_eq!(format!("{:?}", recognise(SEED).expect("reads")), "Bcrypt");
}

proptest! {
    #[test]
    fn no_text_makes_recognising_panic(text in "(\\$|pbkdf2_sha256|argon2id|scrypt|2b|[a-z]=[0-9]{0,10}|,|[./A-Za-z0-9+=]|\\PC){0,40}") {
        let _ = recognise(&text);
    }
}
