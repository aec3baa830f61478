//! What lies in the file, byte for byte. When one of these fails, old files cannot be read any more: raise the format.

use redb::{Database, ReadableTable, WriteTransaction};

use super::*;
use crate::raft::types::{Member, Membership};
use crate::state::codec;

/// The indexes that have a row.
pub fn rows(store: &Store) -> Vec<u64> {
    let database = store.0.shared.database.read().clone().unwrap();
    let read = database.begin_read().unwrap();
    let log = read.open_table(super::rows::LOG).unwrap();
    log.iter().unwrap().map(|row| row.unwrap().0.value()).collect()
}

/// Changes a closed file behind the store's back.
pub fn change(path: &Path, change: impl FnOnce(&WriteTransaction)) {
    let database = Database::open(path).unwrap();
    let write = database.begin_write().unwrap();
    change(&write);
    write.commit().unwrap();
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn row(store: &Store, index: u64) -> String {
    let database = store.0.shared.database.read().clone().unwrap();
    let log = database.begin_read().unwrap().open_table(super::rows::LOG).unwrap();
    hex(log.get(index).unwrap().unwrap().value())
}

fn meta(store: &Store, name: &str) -> String {
    let database = store.0.shared.database.read().clone().unwrap();
    let table = database.begin_read().unwrap().open_table(super::rows::META).unwrap();
    hex(table.get(name).unwrap().unwrap().value())
}

#[tokio::test]
async fn the_rows_of_the_log_keep_their_bytes() {
    let dir = dir();
    let store = open(&dir.path);
    let put = Effect::Put(Key::new("k"), Value::plain(b"v", 9_000, 5_000));
    let change = Change { effects: vec![put, Effect::Remove(Key::new("gone"))], user: None };
    let record = Record { stamp: 5_000, changes: vec![change] };
    let member = Member { address: "a:1".into(), key: vec![0xab], reader: false };
    let membership = Membership::new(vec![[7].into()], std::collections::BTreeMap::from([(7, member)])).unwrap();
    let payloads = [EntryPayload::Membership(membership), EntryPayload::Blank, EntryPayload::Normal(record)];
    let entries = (0..).zip(payloads).map(|(index, payload)| Entry { log_id: id(300, index), payload });
    append(&store, entries.collect()).await;
    drop(store);
    let store = open(&dir.path);
    assert_eq!(row(&store, 0), "01fb2c010002010107010703613a3101ab00");
    assert_eq!(row(&store, 1), "01fb2c010100");
    assert_eq!(
        row(&store, 2),
        "01fb2c010201fb1027010200016b1c282300000000000088130000000000000000000000000000000000760104676f6e6500"
    );
}

#[tokio::test]
async fn the_rows_beside_the_log_keep_their_bytes() {
    let dir = dir();
    let mut store = open(&dir.path);
    store.save_vote(&Vote::new_committed(300, 7)).await.unwrap();
    append(&store, entries(300, 0..=9)).await;
    store.save_committed(Some(id(300, 8))).await.unwrap();
    store.purge(id(300, 4)).await.unwrap();
    append(&store, entries(300, 10..=10)).await;
    drop(store);
    let store = open(&dir.path);
    assert_eq!(meta(&store, "format"), "0102");
    assert_eq!(meta(&store, "journal").len(), 2 * 17);
    assert_eq!(meta(&store, "node"), "0107");
    assert_eq!(meta(&store, "cluster"), "0109090909090909090909090909090909");
    assert_eq!(meta(&store, "vote"), "01fb2c01010701");
    assert_eq!(meta(&store, "committed"), "0101fb2c0108");
    assert_eq!(meta(&store, "purged"), "0101fb2c0104");
}

#[test]
fn a_row_that_holds_another_entry_is_refused_by_its_index() {
    let row = codec::encode(&entry(1, 4));
    assert_eq!(super::rows::entry_of(4, &row).unwrap(), entry(1, 4));
    let refused = super::rows::entry_of(5, &row).unwrap_err();
    assert_eq!(refused.to_string(), "log entry 5: its row holds entry 4");
}
