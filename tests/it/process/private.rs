//! Private: whatever a node writes is for its owner alone, whichever library writes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::witness::Witness;
use crate::program::Place;

/// Everything below a directory that its group or others may use, with its mode; and how much there is.
fn open_to_others(dir: &Path) -> (Vec<String>, usize) {
    let (mut open, mut count) = (Vec::new(), 0);
    for item in fs::read_dir(dir).expect("is readable") {
        let item = item.expect("is readable");
        let mode = item.metadata().expect("is there").permissions().mode() & 0o777;
        count += 1;
        if mode & 0o077 != 0 {
            open.push(format!("{}: {mode:o}", item.path().display()));
        }
        if item.file_type().expect("is there").is_dir() {
            let (below, more) = open_to_others(&item.path());
            open.extend(below);
            count += more;
        }
    }
    (open, count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_data_directory_is_for_others() {
    let place = Place::new();
    // somebody made it beforehand, as everybody's
    fs::create_dir(place.data()).expect("is made");
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o755)).expect("is allowed");
    let node = place.start();
    Witness::of_some_life(&node).await;
    let backup = place.file("backup").display().to_string();
    place.done(&["backup", &backup]);
    assert!(fs::read_dir(place.data().join("snapshots")).expect("is there").count() > 0, "a backup begins with one");
    let (open, count) = open_to_others(&place.data());
    assert_eq!(open, [""; 0], "while it runs");
    assert!(count >= 7, "secret, socket, link, log, users, CURRENT, snapshot: {count}");
    assert_eq!(node.stop(), Some(0));
    assert_eq!(open_to_others(&place.data()).0, [""; 0], "and when it stopped");

    let new = Place::new();
    new.done(&["restore", &backup]);
    assert_eq!(open_to_others(&new.data()).0, [""; 0], "a restore");
}
