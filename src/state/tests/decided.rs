//! Each Op: what it does, and when it is refused. A refusal changes nothing at all.

use super::super::entry::NEVER;
use super::super::{Facts, UserChange};
use super::*;

fn refused(world: &World, op: &Op) -> Outcome {
    let (change, outcome) = world.decide(op);
    assert!(change.is_empty(), "a refusal has an effect: {outcome:?}");
    outcome
}

fn facts(world: &World, name: &str) -> Facts {
    world.get(name).and_then(|entry| entry.facts()).expect("a session")
}

fn fill(world: &World, bytes: u64) {
    let max = bytes.to_le_bytes();
    world.run(&Op::Setting { name: "memory_max".into(), value: Bytes::copy_from_slice(&max), only_if_absent: false });
}

#[test]
fn a_session_begins_with_facts_that_say_how_long_it_may_last() {
    let world = World::new();
    let entry = world.begin("a", "ada");
    assert_eq!(world.get("a"), Some(entry.held(&key("a"), 1)));
    assert_eq!((entry.deadline(), entry.stamp()), (NOW + IDLE + MINUTE, NOW), "idle, and a slack of a minute");
    let facts = entry.facts().expect("facts");
    assert_eq!((facts.begun, facts.absolute, facts.idle_ms), (NOW, NOW + LIFETIME, IDLE));
    assert_eq!(facts.signed.map(|s| (s.user, s.epoch, s.own)), Some(("ada".into(), 0, [9; 16])));
    assert_eq!(entry.value(), br#"{"cookie":{}}"#);
    let anonymous = world.begin("b", "");
    assert_eq!(anonymous.facts().expect("facts").signed, None);
}

#[test]
fn no_session_begins_on_a_key_that_is_taken_or_dead() {
    let mut world = World::new();
    world.begin("a", "ada");
    assert_eq!(refused(&world, &op(begin("a", "bob"))), Outcome::Taken);
    world.run(&Op::End(vec![key("a")]));
    assert_eq!(refused(&world, &op(begin("a", "ada"))), Outcome::Taken);
    world.now = NOW + LIFETIME - 1;
    assert_eq!(refused(&world, &op(begin("a", ""))), Outcome::Taken, "as long as the session could have lasted");
    world.now = NOW + LIFETIME;
    world.begin("a", "");
}

#[test]
fn no_session_begins_under_an_epoch_that_is_over() {
    let world = World::new();
    world.begin("old", "ada");
    world.run(&end_user("bob", None));
    let late = Begin { replaces: Some(key("old")), forgiven: tries_of("ada"), ..begin("new", "bob") };
    world.run(&Op::Try(vec![budget("ada")]));
    assert_eq!(refused(&world, &op(late.clone())), Outcome::StaleEpoch);
    assert!(world.is_live("old"), "and what it would have replaced lives on");
    let outcome = world.run(&op(Begin { signed: Some(signed("bob", 1)), ..late }));
    assert!(matches!(outcome, Outcome::Session(_)) && !world.is_live("old") && world.is_live("new"));
}

fn tries_of(who: &str) -> Forgiven {
    Forgiven { all: vec![Key::tries("test", who)], one: Vec::new() }
}

#[test]
fn the_session_that_is_replaced_ends_in_the_same_change() {
    let world = World::new();
    world.begin("a", "");
    let (change, _) = world.decide(&op(Begin { replaces: Some(key("a")), ..begin("b", "ada") }));
    assert_eq!(change.effects.len(), 2);
    world.apply(&change);
    assert!(!world.is_live("a") && world.is_live("b"));
    let tombstone = world.get("a").expect("a tombstone");
    assert!(tombstone.is_dead() && tombstone.deadline() == NOW + LIFETIME && tombstone.value().is_empty());
}

#[test]
fn the_oldest_make_room_for_one_more() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.begin(name, "ada");
        world.now += 1;
    }
    world.begin("other", "bob");
    world.begin("d", "ada");
    assert_eq!(["a", "b", "c", "d", "other"].map(|n| world.is_live(n)), [false, true, true, true, true]);
    world.run(&op(Begin { replaces: Some(key("c")), ..begin("e", "ada") }));
    assert_eq!(["b", "c", "d", "e"].map(|n| world.is_live(n)), [true, false, true, true], "one ended to make room");
    world.run(&op(Begin { per_user_max: 1, ..begin("f", "ada") }));
    assert_eq!(["b", "d", "e", "f"].map(|n| world.is_live(n)), [false, false, false, true]);
    world.run(&op(Begin { per_user_max: 0, ..begin("g", "ada") }));
    assert!(world.is_live("g"), "nobody can be left without any");
}

#[test]
fn a_full_store_refuses_anonymous_sessions_first_then_all_and_forgets_none() {
    let world = World::new();
    world.begin("a", "ada");
    (0..200).for_each(|n| drop(world.begin(&format!("s{n}"), "")));
    // three quarters and a little
    fill(&world, world.entries.used_bytes() * 100 / 76);
    assert_eq!(refused(&world, &op(begin("c", ""))), Outcome::Full);
    assert!(matches!(world.run(&op(begin("c", "ada"))), Outcome::Session(_)));
    fill(&world, world.entries.used_bytes());
    assert_eq!(refused(&world, &op(begin("d", "ada"))), Outcome::Full);
    assert_eq!(refused(&world, &Op::Edit(edit("a", r#"{"more":1}"#))), Outcome::Full);
    assert!(["a", "c", "s0", "s199"].iter().all(|name| world.is_live(name)));
    // what only moves a deadline, shrinks or ends passes
    assert!(matches!(world.run(&Op::Edit(edit("a", r#"{"none":null}"#))), Outcome::Session(_)));
    assert_eq!(world.run(&Op::End(vec![key("a")])), Outcome::Ended(1));
    assert_eq!(world.run(&end_user("ada", None)), Outcome::Ended(1));
}

#[test]
fn what_nobody_is_signed_in_to_grows_into_its_share_only() {
    let world = World::new();
    world.begin("signed", "ada");
    (0..20).for_each(|n| drop(world.begin(&format!("s{n}"), "")));
    let more = |name| Op::Edit(edit(name, r#"{"more":1}"#));
    fill(&world, world.entries.used_bytes() * 100 / 76);
    assert_eq!(refused(&world, &more("s0")), Outcome::Full);
    assert!(matches!(world.run(&more("signed")), Outcome::Session(_)));
    assert!(matches!(world.run(&Op::Edit(edit("s0", r#"{"none":null}"#))), Outcome::Session(_)), "it does not grow");
}

#[test]
fn a_batch_grows_by_exactly_what_the_entries_will_use() {
    let world = World::new();
    let mut view = View::new(&world.entries, NOW);
    let ops = [
        op(begin("a", "ada")),
        op(begin("b", "")),
        Op::Edit(edit("a", r#"{"x":"a longer value"}"#)),
        Op::Try(vec![budget("ada"), budget("bob")]),
        Op::Forgive(tries_of("bob")),
        Op::End(vec![key("b")]),
        end_user("ada", Some("a")),
    ];
    for op in &ops {
        let (change, outcome) = decide(&mut view, op);
        assert!(!change.is_empty(), "{outcome:?}");
        world.apply(&change);
    }
    let grown = view.grown();
    world.entries.settle();
    assert_eq!(world.entries.used_bytes(), grown as u64);
}

#[test]
fn a_full_store_counts_on_in_a_small_reserve_and_no_further() {
    let world = World::new();
    world.run(&Op::Try(vec![budget("known")]));
    (0..200).for_each(|n| drop(world.begin(&format!("s{n}"), "")));
    fill(&world, world.entries.used_bytes() * 100 / 102);
    assert_eq!(refused(&world, &op(begin("c", "ada"))), Outcome::Full);
    assert_eq!(world.run(&Op::Try(vec![budget("new")])), Outcome::Done, "within the reserve");
    let begun = (0..1_000).take_while(|n| world.run(&Op::Try(vec![budget(&format!("{n}"))])) == Outcome::Done).count();
    assert!((1..20).contains(&begun), "{begun} counts began in five percent");
    assert_eq!(refused(&world, &Op::Try(vec![budget("known"), budget("unknown")])), Outcome::Full);
    assert_eq!(world.run(&Op::Try(vec![budget("known")])), Outcome::Done, "what is counted already is counted on");
    let mut limited = budget("known");
    limited.free = 0;
    world.run(&Op::Try(vec![limited.clone()]));
    assert!(matches!(refused(&world, &Op::Try(vec![limited])), Outcome::Limited { .. }));
}

#[test]
fn growth_within_one_batch_counts_too() {
    let world = World::new();
    fill(&world, 4_000);
    let mut view = View::new(&world.entries, NOW);
    let begun = (0..100).take_while(|n| {
        let large = Begin { value: Bytes::from(vec![b'x'; 500]), ..begin(&format!("{n}"), &format!("user{n}")) };
        matches!(decide(&mut view, &op(large)).1, Outcome::Session(_))
    });
    assert!((1..9).contains(&begun.count()), "the batch as a whole is bounded");
}

#[test]
fn a_value_is_merged_and_use_moves_the_deadline() {
    let mut world = World::new();
    world.begin("a", "ada");
    world.now += 30 * MINUTE;
    let add = vec![("beers".to_owned(), 2)];
    let outcome = world.run(&Op::Edit(Edit { add, ..edit("a", r#"{"x":[1],"cookie":null}"#) }));
    let Outcome::Session(entry) = outcome else { panic!("{outcome:?}") };
    assert_eq!(entry.value(), br#"{"beers":2,"x":[1]}"#);
    assert_eq!(entry.deadline(), NOW + 30 * MINUTE + IDLE + MINUTE);
    assert_eq!(facts(&world, "a").begun, NOW, "facts are beside the value");
    world.now = NOW + LIFETIME - 1;
    world.entries.put(&key("a"), &Entry::session(&facts(&world, "a"), b"{}", NOW + LIFETIME, NOW), 1);
    let Outcome::Session(entry) = world.run(&Op::Edit(edit("a", "{}"))) else { panic!("no session") };
    assert_eq!(entry.deadline(), NOW + LIFETIME, "never past the absolute deadline");
}

#[test]
fn a_value_is_written_to_live_sessions_only() {
    let mut world = World::new();
    for (name, user) in [("ended", "ada"), ("late", "bob"), ("older", "carol")] {
        world.begin(name, user);
    }
    world.run(&Op::End(vec![key("ended")]));
    let bump = Entry::plain(&1u64.to_le_bytes(), NEVER, NOW);
    world.entries.put(&Key::epoch("carol"), &bump, 1);
    world.entries.put(&key("plain"), &Entry::plain(b"17", NEVER, NOW), 1);
    for name in ["ended", "older", "plain", "unknown"] {
        assert_eq!(refused(&world, &Op::Edit(edit(name, "{}"))), Outcome::Gone, "{name}");
    }
    world.now += IDLE + MINUTE;
    assert_eq!(refused(&world, &Op::Edit(edit("late", "{}"))), Outcome::Gone, "to the millisecond");
    world.now -= 1;
    assert!(matches!(world.run(&Op::Edit(edit("late", "{}"))), Outcome::Session(_)));
}

#[test]
fn a_value_that_is_too_large_or_no_object_is_refused() {
    let world = World::new();
    world.begin("a", "");
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1_000));
    for merge in [large.as_str(), "[]", "1", "nonsense"] {
        assert_eq!(refused(&world, &Op::Edit(edit("a", merge))), Outcome::BadValue, "{merge:.20}");
    }
}

#[test]
fn a_touch_only_ever_extends_and_brings_nothing_back() {
    let mut world = World::new();
    for name in ["a", "ended", "late"] {
        world.begin(name, "");
    }
    world.begin("older", "ada");
    world.entries.put(&Key::epoch("ada"), &Entry::plain(&1u64.to_le_bytes(), NEVER, NOW), 1);
    world.run(&Op::End(vec![key("ended")]));
    world.entries.put(&key("late"), &Entry::session(&facts(&world, "a"), b"{}", NOW + MINUTE, NOW), 1);
    let all = Op::Touch(["a", "ended", "late", "older", "unknown"].map(key).to_vec());
    world.now += MINUTE;
    let (change, outcome) = world.decide(&all);
    assert_eq!((change.effects.len(), outcome), (1, Outcome::Done));
    world.apply(&change);
    assert_eq!(world.get("a").map(|e| e.deadline()), Some(world.now + IDLE + MINUTE));
    assert_eq!(["ended", "late", "older", "unknown"].map(|n| world.is_live(n)), [false; 4]);
    world.now -= 10;
    assert!(world.decide(&Op::Touch(vec![key("a")])).0.is_empty(), "nothing is ever shortened");
    world.now = NOW + LIFETIME - 1;
    world.entries.put(&key("a"), &Entry::session(&facts(&world, "a"), b"{}", NOW + LIFETIME, NOW), 1);
    assert!(world.decide(&all).0.is_empty(), "nor lengthened past the absolute deadline");
}

#[test]
fn ending_leaves_a_tombstone_and_counts_what_was_live() {
    let world = World::new();
    world.begin("a", "ada");
    world.begin("b", "");
    world.entries.put(&key("plain"), &Entry::plain(b"x", NEVER, NOW), 1);
    let all = Op::End(["a", "b", "plain", "unknown"].map(key).to_vec());
    assert_eq!(world.run(&all), Outcome::Ended(2));
    assert!(["a", "b"].iter().all(|n| world.get(n).is_some_and(|e| e.is_dead())));
    assert_eq!(refused(&world, &all), Outcome::Ended(0));
    assert!(world.get("plain").is_some_and(|e| e.is_live(NOW)), "what is no session is not ended");
    assert!(world.entries.of_user("ada", NOW).is_empty());
}

#[test]
fn ending_a_user_bumps_the_epoch_and_keeps_one_under_it() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        world.begin(name, "ada");
    }
    world.begin("other", "bob");
    world.now += MINUTE;
    assert_eq!(world.run(&end_user("ada", Some("b"))), Outcome::Ended(2));
    assert_eq!(world.epoch("ada"), 1);
    assert_eq!(["a", "b", "c", "other"].map(|n| world.is_live(n)), [false, true, false, true]);
    let kept = world.get("b").expect("kept");
    assert_eq!((kept.deadline(), facts(&world, "b").begun), (NOW + IDLE + MINUTE, NOW), "otherwise as it was");
    assert_eq!(world.run(&end_user("ada", None)), Outcome::Ended(1));
    assert_eq!(world.run(&end_user("ada", None)), Outcome::Ended(0));
    assert_eq!(world.epoch("ada"), 3, "whoever is signing in now is too late, with or without sessions");
    world.now += 100 * 365 * 86_400_000;
    assert_eq!(world.epoch("ada"), 3, "an epoch has no deadline");
}

#[test]
fn who_is_not_signed_in_any_more_ends_nobody_and_changes_nothing() {
    let mut world = World::new();
    for name in ["ended", "late", "live"] {
        world.begin(name, "ada");
    }
    world.begin("other", "bob");
    world.begin("nobody", "");
    world.run(&Op::End(vec![key("ended")]));
    let late = Entry::session(&facts(&world, "late"), b"{}", NOW + MINUTE, NOW);
    world.entries.put(&key("late"), &late, 1);
    world.now += MINUTE;
    for keep in ["ended", "late", "other", "nobody", "unknown"] {
        assert_eq!(refused(&world, &end_user("ada", Some(keep))), Outcome::Gone, "{keep}");
        let end = Some(EndUser { user: "ada".into(), keep: Some(key(keep)) });
        let change = UserChange::SetPassword { user: "ada".into(), hash: String::new(), only_if: None };
        assert_eq!(refused(&world, &Op::User { change, end }), Outcome::Gone, "{keep}");
    }
    let bump = Entry::plain(&1u64.to_le_bytes(), NEVER, NOW);
    world.entries.put(&Key::epoch("ada"), &bump, 1);
    assert_eq!(refused(&world, &end_user("ada", Some("live"))), Outcome::Gone, "of an epoch that is over");
}

#[test]
fn a_change_of_users_ends_sessions_in_the_same_change() {
    let world = World::new();
    world.begin("a", "ada");
    let change = UserChange::SetDisabled { user: "ada".into(), disabled: true };
    let end = EndUser { user: "ada".into(), keep: None };
    let (change, _) = world.decide(&Op::User { change: change.clone(), end: Some(end) });
    assert!(change.user.is_some() && change.effects.len() == 2);
    world.apply(&change);
    assert!(!world.is_live("a"));
    assert_eq!(world.epoch("ada"), 1);
}

#[test]
fn tries_are_free_then_cost_waits_that_double_to_a_bound() {
    let mut world = World::new();
    let attempt = Op::Try(vec![budget("ada")]);
    for _ in 0..3 {
        assert_eq!(world.run(&attempt), Outcome::Done);
    }
    for wait_ms in [1_000, 2_000, 4_000, 4_000] {
        assert_eq!(refused(&world, &attempt), Outcome::Limited { wait_ms });
        world.now += wait_ms - 1;
        assert_eq!(refused(&world, &attempt), Outcome::Limited { wait_ms: 1 });
        world.now += 1;
        assert_eq!(world.run(&attempt), Outcome::Done);
    }
    world.now += 60_000;
    for _ in 0..3 {
        assert_eq!(world.run(&attempt), Outcome::Done, "forgotten after a while");
    }
    assert!(matches!(refused(&world, &attempt), Outcome::Limited { .. }));
}

#[test]
fn a_try_is_taken_from_all_budgets_or_from_none() {
    let world = World::new();
    for _ in 0..3 {
        world.run(&Op::Try(vec![budget("ada")]));
    }
    let both = Op::Try(vec![budget("address"), budget("ada")]);
    assert_eq!(refused(&world, &both), Outcome::Limited { wait_ms: 1_000 });
    for _ in 0..3 {
        assert_eq!(world.run(&Op::Try(vec![budget("address")])), Outcome::Done, "the refused one cost it nothing");
    }
}

#[test]
fn tries_in_one_batch_see_each_other() {
    let world = World::new();
    let mut view = View::new(&world.entries, NOW);
    let outcomes = [(); 5].map(|()| decide(&mut view, &Op::Try(vec![budget("ada")])).1);
    let limited = Outcome::Limited { wait_ms: 1_000 };
    assert_eq!(outcomes, [Outcome::Done, Outcome::Done, Outcome::Done, limited.clone(), limited]);
}

#[test]
fn tries_are_given_back_one_or_all() {
    let world = World::new();
    let attempt = |who: &str| Op::Try(vec![budget(who)]);
    for _ in 0..3 {
        world.run(&attempt("ada"));
        world.run(&attempt("address"));
    }
    let forgiven = Forgiven { one: vec![Key::tries("test", "address"), Key::tries("test", "none")], ..tries_of("ada") };
    assert_eq!(world.run(&Op::Forgive(forgiven.clone())), Outcome::Done);
    assert_eq!(world.run(&attempt("address")), Outcome::Done);
    assert!(matches!(refused(&world, &attempt("address")), Outcome::Limited { .. }), "one was given back");
    for _ in 0..3 {
        assert_eq!(world.run(&attempt("ada")), Outcome::Done, "all were");
    }
    let signing_in = Begin { forgiven, ..begin("a", "ada") };
    assert!(matches!(world.run(&op(signing_in)), Outcome::Session(_)));
    assert_eq!(world.run(&attempt("ada")), Outcome::Done, "with the sign-in itself");
    assert_eq!(world.run(&attempt("address")), Outcome::Done);
}

#[test]
fn an_anonymous_session_takes_a_try_and_begins_only_if_there_is_one() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        assert!(matches!(world.run(&op(Begin { budget: Some(budget("x")), ..begin(name, "") })), Outcome::Session(_)));
    }
    let fourth = op(Begin { budget: Some(budget("x")), ..begin("d", "") });
    assert_eq!(refused(&world, &fourth), Outcome::Limited { wait_ms: 1_000 });
}

#[test]
fn of_settings_that_are_drawn_the_first_one_stays() {
    let world = World::new();
    let set = |value: &'static str, only_if_absent| {
        let (name, value) = ("secret".to_owned(), Bytes::from_static(value.as_bytes()));
        world.run(&Op::Setting { name, value, only_if_absent })
    };
    assert_eq!(set("one", true), Outcome::Setting("one".into()));
    assert_eq!(set("two", true), Outcome::Setting("one".into()));
    assert_eq!(set("two", false), Outcome::Setting("two".into()));
    let again = Op::Setting { name: "secret".into(), value: "two".into(), only_if_absent: false };
    assert_eq!(refused(&world, &again), Outcome::Setting("two".into()), "the same again is not written again");
}

#[test]
fn an_exchange_is_made_only_with_what_is_held() {
    let world = World::new();
    let exchange = |held: Option<&'static str>, value: Option<&'static str>| {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        let key = Key::setting("rotation");
        Op::Exchange(Exchange { key, held: held.map(bytes), value: value.map(bytes) })
    };
    assert_eq!(refused(&world, &exchange(Some("one"), Some("two"))), Outcome::Gone);
    assert_eq!(world.run(&exchange(None, Some("one"))), Outcome::Done);
    assert_eq!(refused(&world, &exchange(None, Some("other"))), Outcome::Gone);
    assert_eq!(world.run(&exchange(Some("one"), Some("two"))), Outcome::Done);
    assert_eq!(refused(&world, &exchange(Some("one"), Some("three"))), Outcome::Gone);
    assert_eq!(world.run(&exchange(Some("two"), None)), Outcome::Done);
    assert_eq!(refused(&world, &exchange(Some("two"), None)), Outcome::Gone);
}
