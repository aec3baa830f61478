//! What the commands of `cluster` print, and what they ask of a node.

use super::*;

#[test]
fn nodes_are_listed_and_those_that_do_not_answer_are_told_apart() {
    let node = Node::start(true);
    insta::assert_snapshot!(node.prints(&["cluster", "status"]), @"
    ID  ROLE     ADDRESS         APPLIED  LAG  ANSWERS  VERSION
    11  leader   10.0.0.11:3001  4711     0    in 2 ms  0.1.0    this node
    12  learner  10.0.0.12:3001  ?        ?    no       ?
    ");
    let json: serde_json::Value =
        serde_json::from_str(&node.prints(&["cluster", "status", "--json"])).expect("is JSON");
    assert_eq!((&json[0]["role"], &json[1]["answers"]), (&"leader".into(), &false.into()));
}

#[test]
fn a_token_is_printed_alone() {
    let node = Node::start(true);
    assert_eq!(node.prints(&["cluster", "token", "--uses", "3", "--ttl", "90m"]), "sojourn-join-abc\n");
    assert_eq!(node.asked(), Request::ClusterToken { uses: 3, ttl_ms: 5_400_000 });
    node.prints(&["cluster", "token"]);
    assert_eq!(node.asked(), Request::ClusterToken { uses: 1, ttl_ms: 3_600_000 });
    assert!(node.run(&["cluster", "token", "--ttl", "5"]).expect_err("has no unit").contains("give the number a unit"));
}

#[test]
fn the_membership_is_changed_by_id() {
    let node = Node::start(true);
    for (args, asked) in [
        (&["cluster", "promote", "12"][..], Request::ClusterPromote { id: 12 }),
        (&["cluster", "remove", "12"], Request::ClusterRemove { id: 12 }),
        (&["cluster", "transfer", "12"], Request::ClusterTransfer { id: 12 }),
        (&["cluster", "leave"], Request::ClusterLeave),
    ] {
        let told = node.prints(args);
        assert!(told.starts_with("node 12 ") || told.starts_with("this node "), "{told}");
        assert_eq!(node.asked(), asked);
    }
    assert_eq!(node.run(&["cluster", "remove", "13"]), Err("node not found".into()));
}

#[test]
fn a_rotation_says_that_it_is_over_or_whom_it_waits_for() {
    let told = Node::start(true).prints(&["cluster", "rotate-secret"]);
    assert!(told.starts_with("the cluster has another secret"), "{told}");
    let node = Node::start(false);
    insta::assert_snapshot!(node.prints(&["cluster", "rotate-secret"]), @"
    the rotation waits for node 12 at 10.0.0.12:3001
    it goes on by itself once that returns or is removed; `sojourn cluster status` says how far it is
    ");
    assert_eq!(node.asked(), Request::ClusterRotateSecret);
}
