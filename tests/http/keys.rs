//! Keys of requests, and the refusals of requests without one.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderValue, Request, StatusCode, Version};
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockHandle, Resource, key};

use crate::support::{Answer, Server, serve};

async fn name(lock: LockHandle) -> String {
    lock.resource().to_string()
}

fn layer<K>(key: K) -> HttpLockLayer<K> {
    HttpLockLayer::new(InMemoryLockProvider::new(), key)
}

async fn with_header(server: &Server, values: &[&[u8]]) -> Answer {
    let mut request = server.request("GET", "/");
    for value in values {
        request = request.header("x-account", HeaderValue::from_bytes(value).unwrap());
    }
    server.send(Version::HTTP_11, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn header_is_taken_as_it_stands() {
    let server = serve(Router::new().route("/", get(name)).layer(layer(key::header("X-Account").prefixed("a")))).await;
    assert_eq!(with_header(&server, &[b"4%32"]).await.body, "a:4%32");
    assert_eq!(
        with_header(&server, &["ü:1".as_bytes()]).await.body,
        Resource::from_parts(["a", "ü:1"]).unwrap().as_str()
    );
}

#[tokio::test]
async fn a_missing_empty_repeated_or_unreadable_header_is_400() {
    let server = serve(Router::new().route("/", get(name)).layer(layer(key::header("x-account").prefixed("a")))).await;
    let bad: [&[&[u8]]; 4] = [&[], &[b""], &[b"1", b"2"], &[b"\xff\xfe"]];
    for values in bad {
        let answer = with_header(&server, values).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{values:?}");
        assert_eq!(answer.json()["type"], "urn:orchestrix:locking:invalid-key");
        assert!(answer.json()["detail"].as_str().unwrap().contains("x-account"));
    }
}

#[tokio::test]
async fn path_and_method_ignore_the_query_and_see_through_nesting() {
    let inside = Router::new()
        .route("/p/{id}", get(name).layer(layer(key::path())))
        .route("/m/{id}", get(name).layer(layer(key::method_and_path().prefixed("x"))));
    let server = serve(Router::new().nest("/outer", inside)).await;
    assert_eq!(server.get("/outer/p/a%62?q=1").await.body, "/outer/p/a%62");
    assert_eq!(server.get("/outer/m/1?q=1").await.body, "x:GET /outer/m/1");
}

#[tokio::test]
async fn path_param_is_decoded_once_also_in_a_nested_router() {
    let inside =
        Router::new().route("/items/{item}", get(name)).route_layer(layer(key::path_param("shop").prefixed("shop")));
    let server = serve(Router::new().nest("/shops/{shop}", inside)).await;
    assert_eq!(server.get("/shops/a%20b/items/7").await.body, "shop:a b");
    assert_eq!(server.get("/shops/a%2520b/items/7").await.body, "shop:a%20b");
    let answer = server.get("/shops/%ff/items/7").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["type"], "urn:orchestrix:locking:invalid-key");
    // axum answers what no route matches.
    assert_eq!(server.get("/shops/1/none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn path_param_leaves_the_parameters_to_the_handler() {
    let handler = |axum::extract::Path(id): axum::extract::Path<u32>, lock: LockHandle| async move {
        format!("{id} {}", lock.resource())
    };
    let server = serve(Router::new().route("/{id}", get(handler)).route_layer(layer(key::path_param("id")))).await;
    assert_eq!(server.get("/12").await.body, "12 12");
}

#[tokio::test]
async fn mistakes_in_the_program_are_500() {
    let server = serve(
        Router::new()
            .route("/param/{id}", get(name).layer(layer(key::path_param("account"))))
            .route("/none", get(name).layer(layer(key::path_param("id"))))
            .route("/header", get(name).layer(layer(key::header("not a header"))))
            .route("/constant", get(name).layer(layer(key::constant("")))),
    )
    .await;
    for path in ["/param/1", "/none", "/header", "/constant"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(answer.json()["type"], "urn:orchestrix:locking:misconfigured");
    }
    assert!(server.get("/param/1").await.body.contains("`account`"));
}

#[tokio::test]
async fn a_closure_may_need_no_lock_or_fail() {
    let key = |request: &Request<Body>| match request.uri().path() {
        "/free" => Ok(None),
        "/bad" => Err("secret \"reason\""),
        path => Ok(Some(path.to_owned())),
    };
    let optional =
        |lock: Option<LockHandle>| async move { lock.map_or("none".to_owned(), |lock| lock.resource().to_string()) };
    let router = Router::new().route("/{any}", get(optional)).layer(layer(key));
    let server = serve(router).await;
    assert_eq!(server.get("/free").await.body, "none");
    assert_eq!(server.get("/a").await.body, "/a");
    let refused = server.get("/bad").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(!refused.body.contains("secret"));
}

#[tokio::test]
async fn the_extractor_without_the_layer_is_500_and_says_so() {
    let server = serve(Router::new().route("/", get(name))).await;
    let answer = server.get("/").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.body.contains("HttpLockLayer"));
}
