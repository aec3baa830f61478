//! What an app sees, and how it is told from others.

use super::{PASSWORD, locked, talk};

#[tokio::test]
async fn nobody_guesses_fast() {
    let node = locked().await;
    let begun = std::time::Instant::now();
    let mut client = talk(&node).await;
    for _ in 0..12 {
        assert!(client.say("AUTH wrong-password").await.starts_with("-WRONGPASS"));
    }
    assert!(begun.elapsed() >= std::time::Duration::from_secs(2));
    assert_eq!(client.ask(&["AUTH", PASSWORD]).await, "+OK");
}
