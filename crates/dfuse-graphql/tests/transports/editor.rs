use crate::support::TestServer;

#[tokio::test]
async fn the_editor_is_served_with_a_strict_policy() {
    let server = TestServer::open().await;
    let page = server.get("/graphiql/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    // Each file that it names is there.
    let mut files: Vec<_> = text.split('"').filter(|text| text.starts_with("/graphiql/")).collect();
    files.extend(["/graphiql/predefined_examples.json", "/graphiql/config.json"]);
    assert!(files.len() > 2, "{files:?}");
    for path in files {
        let file = server.get(path).await;
        assert_eq!(file.status.as_u16(), 200, "{path}");
        let policy = file.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn older_addresses_lead_to_it() {
    let server = TestServer::open().await;
    for (path, target) in [
        ("/graphiql", "/graphiql/"),
        ("/graphiql?query=e2F9&x=%20", "/graphiql/?query=e2F9&x=%20"),
        ("/playground", "/graphiql/"),
        ("/playground/", "/graphiql/"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, target), "{path}");
    }
}
