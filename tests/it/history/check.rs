//! Check: proves or refutes, from the record alone, what is promised.
//!
//! The plain rules come first, because they say what is wrong; a checker of linearisability comes last, and finds what
//! no plain rule does. Each violation names the session or address.

use std::collections::{BTreeMap, BTreeSet};

use super::entry;
use super::record::{Act, Event, Record, Said};

/// How long an ended session may be honoured, and anything be seen as it was: the default of `cluster.max_staleness`.
const STALENESS_US: i64 = 1_000_000;
/// How long an answer may be on its way on a busy machine.
const ON_ITS_WAY_US: i64 = 700_000;

/// Everything that was promised and not kept.
pub fn violations(record: &Record) -> Vec<String> {
    let events = record.events.lock();
    let mut found: Vec<String> = events.iter().filter_map(odd).collect();
    found.extend(of_accounts(&events, &record.accounts.lock()));
    let mut sessions: BTreeMap<usize, Vec<&Event>> = BTreeMap::new();
    for event in events.iter() {
        if let Some(session) = event.session {
            sessions.entry(session).or_default().push(event);
        }
    }
    for (session, events) in &sessions {
        let plain = [lost(events), honoured(events), heard_of(events), too_old(events), miscounted(events)];
        let mut of_session: Vec<String> = plain.into_iter().flatten().collect();
        if of_session.is_empty() && !entry::is_linearisable(events) {
            of_session.push(format!("is not linearisable:\n{}", told(events)));
        }
        found.extend(of_session.into_iter().map(|what| format!("session {session} {what}")));
    }
    found
}

fn odd(event: &Event) -> Option<String> {
    let Said::Odd(said) = &event.said else { return None };
    Some(format!("node {} answered {:?} with {said}", event.slot, event.act))
}

/// No acknowledged sign-up is lost, and no address has two accounts.
fn of_accounts(events: &[Event], accounts: &[(usize, Vec<String>)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut made: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if let (Act::SignUp(email), Said::Done) = (&event.act, &event.said) {
            made.entry(email).or_default().push(event);
        }
    }
    for (email, acknowledged) in &made {
        if acknowledged.len() > 1 {
            found.push(format!("{} sign-ups were acknowledged for {email}", acknowledged.len()));
        }
        for (slot, held) in accounts {
            match held.iter().filter(|held| held == email).count() {
                0 => found.push(format!("node {slot} has lost {email}")),
                1 => {}
                count => found.push(format!("node {slot} has {count} accounts of {email}")),
            }
        }
    }
    let all: BTreeSet<BTreeSet<&String>> = accounts.iter().map(|(_, held)| held.iter().collect()).collect();
    if all.len() > 1 {
        found.push("the nodes do not have the same accounts".into());
    }
    for event in events {
        if let (Act::SignIn(email), Said::Gone) = (&event.act, &event.said)
            && made.get(email.as_str()).is_some_and(|made| made.iter().any(|made| made.ended_us < event.began_us))
        {
            found.push(format!("node {} does not know {email}, who had signed up", event.slot));
        }
    }
    found
}

fn ends(event: &Event) -> bool {
    matches!(event.act, Act::End | Act::EndByOther)
}

/// A session that nobody began to end was said to be gone.
fn lost(events: &[&Event]) -> Option<String> {
    let first_end = events.iter().filter(|event| ends(event)).map(|event| event.began_us).min();
    let gone = events.iter().find(|event| {
        event.said == Said::Gone
            && !matches!(event.act, Act::SignIn(_))
            && first_end.is_none_or(|end| event.ended_us < end)
    })?;
    Some(format!("was lost: node {} said so to {:?} at {} µs", gone.slot, gone.act, gone.began_us))
}

/// An ended session was honoured too late.
fn honoured(events: &[&Event]) -> Option<String> {
    let end = ended(events)?;
    let late = events.iter().filter(is_honoured).find(|event| event.began_us >= end + STALENESS_US)?;
    let ms = (late.began_us - end) / 1_000;
    Some(format!("was honoured by node {} ({:?}) {ms} ms after its end", late.slot, late.act))
}

/// Somebody heard too late that an ended session lives, from a node that was not stopped meanwhile.
fn heard_of(events: &[&Event]) -> Option<String> {
    let end = ended(events)?;
    let late = events.iter().filter(is_honoured).find(|event| {
        event.is_steady && event.act != Act::Add && event.ended_us >= end + STALENESS_US + ON_ITS_WAY_US
    })?;
    let ms = (late.ended_us - end) / 1_000;
    Some(format!("was said to live by node {} ({:?}) {ms} ms after its end", late.slot, late.act))
}

/// When the first end of a session was acknowledged.
fn ended(events: &[&Event]) -> Option<i64> {
    events.iter().filter(|event| ends(event) && event.said == Said::Done).map(|event| event.ended_us).min()
}

fn is_honoured(event: &&&Event) -> bool {
    !ends(event) && matches!(event.said, Said::Done | Said::Held(_))
}

/// A plain check may be a little old, and no older.
fn too_old(events: &[&Event]) -> Option<String> {
    let adds = |event: &&&Event| event.act == Act::Add && !matches!(event.said, Said::Refused | Said::Gone);
    for event in events.iter().filter(|event| event.act == Act::Glance) {
        let Said::Held(held) = event.said else { continue };
        let done = events.iter().filter(adds).filter(|add| add.said == Said::Done);
        let least = done.filter(|add| add.ended_us < event.began_us - STALENESS_US).count() as i64;
        let most = events.iter().filter(adds).filter(|add| add.began_us < event.ended_us).count() as i64;
        if !(least..=most).contains(&held.beers) {
            return Some(format!("had {least} to {most} beers, and node {} said {}", event.slot, held.beers));
        }
    }
    None
}

/// Every acknowledged addition is counted once, and those of unknown fate once at most.
fn miscounted(events: &[&Event]) -> Option<String> {
    let last = events.iter().filter(|event| event.act == Act::Read).max_by_key(|event| event.began_us)?;
    let Said::Held(held) = last.said else { return None };
    let adds = |event: &&&Event| event.act == Act::Add;
    let done = events.iter().filter(adds).filter(|add| add.said == Said::Done && add.ended_us < last.began_us);
    let begun =
        |add: &&&Event| matches!(add.said, Said::Done | Said::Unknown | Said::Odd(_)) && add.began_us < last.ended_us;
    let (least, most) = (done.count() as i64, events.iter().filter(adds).filter(begun).count() as i64);
    let counts = (least..=most).contains(&held.beers);
    (!counts).then(|| format!("had {least} to {most} additions, and counts {}", held.beers))
}

/// The operations on one session, for whoever has to find out why.
fn told(events: &[&Event]) -> String {
    let mut sorted = events.to_vec();
    sorted.sort_by_key(|event| event.began_us);
    let line = |event: &&Event| {
        let Event { slot, act, said, began_us, ended_us, .. } = event;
        format!("  {began_us:>10} {ended_us:>10} node {slot}: {act:?} {said:?}")
    };
    sorted.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::record::Held;
    use super::*;

    fn event(act: Act, said: Said, (began_us, ended_us): (i64, i64)) -> Event {
        Event { session: Some(0), slot: 0, act, said, began_us, ended_us, is_steady: true }
    }

    fn found(events: Vec<Event>) -> Vec<String> {
        let record = Record::new();
        *record.events.lock() = events;
        violations(&record)
    }

    fn beers(beers: i64) -> Said {
        Said::Held(Held { beers, n: 0 })
    }

    #[test]
    fn what_is_right_is_not_found_wrong() {
        let fine = vec![
            event(Act::Add, Said::Done, (0, 10)),
            event(Act::Add, Said::Unknown, (5, 20)),
            event(Act::Add, Said::Refused, (5, 20)),
            event(Act::Read, beers(1), (30, 40)),
            event(Act::Read, beers(2), (50, 60)),
            event(Act::End, Said::Done, (70, 80)),
            event(Act::Read, Said::Gone, (90, 95)),
            event(Act::Glance, beers(2), (1_000_000, 1_500_000)),
            Event { is_steady: false, ..event(Act::Glance, beers(2), (1_000_000, 2_000_000)) },
            event(Act::Add, Said::Gone, (2_000_000, 2_000_001)),
        ];
        assert!(found(fine).is_empty());
    }

    #[test]
    fn every_rule_finds_what_breaks_it() {
        let broken = [
            (vec![event(Act::Read, Said::Gone, (0, 1))], "was lost"),
            (
                vec![event(Act::End, Said::Done, (0, 1)), event(Act::Glance, beers(0), (1_000_001, 1_000_002))],
                "honoured",
            ),
            (
                vec![event(Act::End, Said::Done, (0, 1)), event(Act::Glance, beers(0), (900_000, 1_700_001))],
                "said to live",
            ),
            (vec![event(Act::Add, Said::Done, (0, 1)), event(Act::Glance, beers(0), (1_000_002, 1_000_003))], "beers"),
            (vec![event(Act::Add, Said::Done, (0, 1)), event(Act::Read, beers(2), (2, 3))], "counts 2"),
            (vec![event(Act::End, Said::Done, (0, 1)), event(Act::Read, beers(0), (2, 3))], "linearisable"),
            (vec![event(Act::Write(7), Said::Done, (0, 1)), event(Act::Read, beers(0), (2, 3))], "linearisable"),
            (vec![event(Act::Add, Said::Odd("500".into()), (0, 1))], "answered"),
        ];
        for (events, words) in broken {
            let found = found(events);
            assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
        }
    }

    #[test]
    fn accounts_that_are_lost_or_there_twice_are_found() {
        let up = |said| event(Act::SignUp("a".into()), said, (0, 1));
        assert!(found(vec![up(Said::Done), up(Said::Done)])[0].contains("2 sign-ups"));
        assert!(
            found(vec![up(Said::Done), event(Act::SignIn("a".into()), Said::Gone, (2, 3))])[0]
                .contains("does not know")
        );
        let record = Record::new();
        *record.events.lock() = vec![up(Said::Done)];
        *record.accounts.lock() = vec![(0, vec!["a".into()]), (1, Vec::new()), (2, vec!["a".into(), "a".into()])];
        assert_eq!(violations(&record).len(), 3);
    }
}
