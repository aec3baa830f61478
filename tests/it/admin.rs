//! The administrators' page: for admins who hold both cookies, and nobody else.

use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use sojourn::control::protocol::{ImportChunk, ImportFormat, NewAccount, Password};
use sojourn::control::{Request as Ask, Response as Answer};

use crate::harness::{Cluster, Node, PASSWORD, Visitor, body, eventually};

const ROOT: &str = "root@example.com";

async fn admin(node: &Node) -> Visitor {
    let account = NewAccount {
        email: ROOT.to_owned(),
        first_name: "Root".to_owned(),
        last_name: String::new(),
        admin: true,
        password: Some(Password(PASSWORD.to_owned())),
    };
    assert!(matches!(node.ask(Ask::UserAdd(account)).await, Ok(Answer::UserAdded { .. })));
    let mut admin = node.visitor();
    assert_eq!(admin.sign_in(ROOT, PASSWORD).await.status(), StatusCode::OK);
    admin
}

async fn id_of(visitor: &mut Visitor) -> String {
    body(visitor.get("/profile").await).await["id"].as_str().expect("an id").to_owned()
}

fn leads_to(response: &Response) -> &str {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    response.headers()[LOCATION].to_str().expect("ASCII")
}

#[tokio::test]
async fn it_is_for_admins_with_both_cookies() {
    let node = Node::start().await;
    let mut root = admin(&node).await;
    let mut eve = node.person("eve@example.com").await;
    let id = id_of(&mut eve).await;
    let paths = ["approve", "disable", "enable"].map(|what| format!("/admin/users/{what}"));
    let fields = [("id", id.as_str())];
    assert_eq!(leads_to(&node.visitor().get("/admin").await), "/login?next=%2Fadmin");
    let mut app = root.clone();
    app.cookies.retain(|(name, _)| name == "sojourn");
    assert_eq!(leads_to(&app.get("/admin").await), "/login?next=%2Fadmin");
    assert_eq!(eve.get("/admin").await.status(), StatusCode::FORBIDDEN);
    for path in &paths {
        assert_eq!(leads_to(&app.form(path, &fields).await), "/login?next=%2Fadmin", "{path}");
        assert_eq!(eve.form(path, &fields).await.status(), StatusCode::FORBIDDEN, "{path}");
        let foreign = root.request(reqwest::Method::POST, path).header("Sec-Fetch-Site", "same-site").form(&fields);
        assert_eq!(foreign.send().await.expect("an answer").status(), StatusCode::FORBIDDEN, "{path}");
    }
    assert!(
        matches!(node.ask(Ask::UserShow { email: "eve@example.com".into() }).await,
        Ok(Answer::User(user)) if !user.approved && !user.disabled),
        "nothing was done"
    );
    assert!(!eve.page("/account").await.1.contains("href=\"/admin\""));
    assert!(root.page("/account").await.1.contains("href=\"/admin\""));
    assert_eq!(root.page("/admin").await.0, StatusCode::OK);
}

#[tokio::test]
async fn admins_see_who_waits_and_approve() {
    let node = Node::start().await;
    let mut root = admin(&node).await;
    let mut eve = node.person("eve@example.com").await;
    let id = id_of(&mut eve).await;
    let (_, page) = root.page("/admin").await;
    assert!(page.contains("id=\"waits\">1<") && page.contains("id=\"accounts\">2<"), "{page}");
    assert!(
        page.contains(&format!("action=\"/admin/users/approve\"><input type=\"hidden\" name=\"id\" value=\"{id}\"")),
        "{page}"
    );
    assert_eq!(leads_to(&root.form("/admin/users/approve", &[("id", &id)]).await), "/admin?did=approve&q=");
    let (_, page) = root.page("/admin?did=approve").await;
    assert!(page.contains("Nobody is waiting") && page.contains("Approved."), "{page}");
    assert!(!eve.page("/home").await.1.contains("waiting"));
}

#[tokio::test]
async fn admins_shut_out_and_let_in_again_but_not_themselves() {
    let node = Node::start().await;
    let mut root = admin(&node).await;
    let mut eve = node.person("eve@example.com").await;
    let (id, own) = (id_of(&mut eve).await, id_of(&mut root).await);
    let led = root.form("/admin/users/disable", &[("id", &id), ("q", "eve@")]).await;
    assert_eq!(leads_to(&led), "/admin?did=disable&q=eve%40");
    assert!(!eve.is_signed_in().await);
    assert_eq!(eve.sign_in("eve@example.com", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    leads_to(&root.form("/admin/users/enable", &[("id", &id)]).await);
    assert_eq!(eve.sign_in("eve@example.com", PASSWORD).await.status(), StatusCode::OK);
    assert_eq!(root.form("/admin/users/disable", &[("id", &own)]).await.status(), StatusCode::CONFLICT);
    assert!(root.is_signed_in().await);
    assert_eq!(leads_to(&root.form("/admin/users/approve", &[("id", "nobody")]).await), "/admin?did=gone&q=");
}

#[tokio::test]
async fn people_are_found_by_a_part_of_their_address_and_paged() {
    let node = Node::start().await;
    let mut root = admin(&node).await;
    for n in 0..60 {
        let account = NewAccount {
            email: format!("person{n:02}@example.org"),
            first_name: "<b>".to_owned(),
            last_name: String::new(),
            admin: false,
            password: Some(Password(PASSWORD.to_owned())),
        };
        if n < 2 {
            node.ask(Ask::UserAdd(account)).await.expect("added");
        } else {
            node.visitor().sign_up(&account.email).await;
        }
    }
    let (_, page) = root.page("/admin?q=PERSON").await;
    assert!(page.contains("person49@") && !page.contains("person50@example.org\" and"), "{page}");
    assert!(page.contains("&lt;b&gt;") && !page.contains("<b>"));
    let (_, rest) = page.split_once("href=\"/admin?q=PERSON&amp;after=").expect("there are more");
    let after = rest.split('"').next().expect("an address");
    let (_, page) = root.page(&format!("/admin?q=PERSON&after={after}")).await;
    assert!(page.contains("person50@") && page.contains("person59@") && !page.contains("Next page"), "{page}");
    let (_, page) = root.page("/admin?q=nobody").await;
    assert!(
        page.contains("Nobody&#x27;s address holds that") || page.contains("Nobody's address holds that"),
        "{page}"
    );
}

#[tokio::test]
async fn accounts_are_handled_whatever_their_id_is() {
    let node = Node::start().await;
    let mut root = admin(&node).await;
    for (n, id) in ["a/b", "..", "a\\b", "100%25", ".", "a?c#d&e=\"'<b>"].into_iter().enumerate() {
        let email = format!("person{n}@example.org");
        let rows = serde_json::json!({"id": id, "email": email}).to_string();
        let chunk = ImportChunk { format: ImportFormat::JsonLines, header: String::new(), rows, first_line: 1 };
        node.ask(Ask::UserImport(chunk)).await.expect("is imported");
        assert_eq!(leads_to(&root.form("/admin/users/disable", &[("id", id)]).await), "/admin?did=disable&q=");
        let shown = node.ask(Ask::UserShow { email }).await;
        assert!(matches!(&shown, Ok(Answer::User(user)) if user.id == id && user.disabled), "{id}: {shown:?}");
    }
    let (_, page) = root.page("/admin").await;
    assert!(page.contains("name=\"id\" value=\"..\"") && !page.contains("<b>"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_see_the_nodes_and_which_of_them_does_not_answer() {
    let mut cluster = Cluster::start(3).await;
    let mut root = admin(&cluster.nodes[0]).await;
    let (_, page) = root.page("/admin").await;
    for peer in cluster.nodes[0].peers().await {
        assert!(page.contains(&peer.id.to_string()) && page.contains(&peer.address), "{page}");
    }
    let count = |page: &str, cell: &str| page.matches(&format!(">{cell}</td>")).count();
    assert_eq!((count(&page, "leader"), count(&page, "voter"), count(&page, env!("CARGO_PKG_VERSION"))), (1, 2, 3));
    assert!(page.matches("this one").count() == 1 && !page.contains("no answer"), "{page}");
    cluster.nodes[2].stop().await;
    let is_told = async || root.page("/admin").await.1.matches("no answer").count() == 1;
    eventually("the one that is down is shown as such", is_told).await;
}
