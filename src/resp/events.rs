//! Events: `notify-keyspace-events`, which keyspace events are told.
//!
//! The letters are Redis's: `K` and `E` for where, the others for what, `A` for most of them.

/// What `A` stands for.
const MOST: &str = "g$lshzxetd";
/// All letters, in the order in which Redis writes them.
const ALL: &str = "g$lshzxetdnKEm";

/// The letters in Redis's own order, each once; `None` when one is none.
pub fn normal(letters: &str) -> Option<String> {
    let all = letters.replace('A', MOST);
    if !all.chars().all(|letter| ALL.contains(letter)) {
        return None;
    }
    let has = |letter: char| all.contains(letter);
    let most = MOST.chars().all(has);
    let shown = |letter: &char| has(*letter) && !(most && (MOST.contains(*letter) || *letter == 'n'));
    Some(most.then_some('A').into_iter().chain(ALL.chars().filter(shown)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_written_as_redis_writes_them() {
        for (given, written) in [("", ""), ("KEA", "AKE"), ("Egx", "gxE"), ("xgE", "gxE"), ("g$lshzxetdKE", "AKE")] {
            assert_eq!(normal(given).as_deref(), Some(written));
        }
        assert_eq!(normal("Ey"), None);
    }
}
