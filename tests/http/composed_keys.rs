//! Names made of several values, of metadata and of extensions, and requests that never reach a provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Extension, Request};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use axum::{Router, response::Response};
use http::{StatusCode, Version};
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, HttpLockLayer, InMemoryLockProvider, LockError, LockHandle, LockOptions,
    Resource, key,
};

use crate::support::{Answer, Server, serve};

async fn name(lock: LockHandle) -> String {
    lock.resource().to_string()
}

fn layer(key: key::Key) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(InMemoryLockProvider::new(), key)
}

fn parts<const N: usize>(parts: [&str; N]) -> String {
    Resource::from_parts(parts).unwrap().as_str().to_owned()
}

async fn send(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        headers.iter().fold(server.request("GET", path), |request, (name, value)| request.header(*name, *value));
    server.send(Version::HTTP_11, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn parts_are_joined_in_order_and_a_prefix_is_one_more() {
    let key = || key::parts([key::header("x-tenant"), key::path_param("id")]);
    let server = serve(
        Router::new()
            .route("/plain/{id}", get(name).layer(layer(key())))
            .route("/prefixed/{id}", get(name).layer(layer(key().prefixed("order"))))
            .route("/twice/{id}", get(name).layer(layer(key().prefixed("order").prefixed("v2"))))
            .route("/inner/{id}", get(name).layer(layer(key::parts([key(), key::path_param("id").prefixed("p")])))),
    )
    .await;
    let tenant = [("x-tenant", "a:b")];
    assert_eq!(send(&server, "/plain/7", &tenant).await.body, parts(["a:b", "7"]));
    assert_eq!(send(&server, "/prefixed/7", &tenant).await.body, parts(["order", "a:b", "7"]));
    assert_eq!(send(&server, "/twice/7", &tenant).await.body, parts(["v2", &parts(["order", "a:b", "7"])]));
    let inner = parts([&parts(["a:b", "7"]), &parts(["p", "7"])]);
    assert_eq!(send(&server, "/inner/7", &tenant).await.body, inner);
}

/// Values from outside that contain the separator and its escape, with every way to cut one text in two.
#[tokio::test]
async fn different_values_never_share_a_lock() {
    let key = key::parts([key::header("x-tenant"), key::path_param("id")]);
    let server = serve(Router::new().route("/{id}", get(name)).route_layer(layer(key))).await;
    let mut seen = std::collections::HashMap::new();
    for text in ["a:b:c", "a\\:b:c", "a\\\\:b", ":::", "\\\\\\", "a:\\:\\b"] {
        for cut in 1..text.len() {
            let (tenant, id) = text.split_at(cut);
            let path = format!("/{}", id.replace('\\', "%5C"));
            let answer = send(&server, &path, &[("x-tenant", tenant)]).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            let values = (tenant.to_owned(), id.to_owned());
            if let Some(other) = seen.insert(answer.body, values.clone()) {
                assert_eq!(other, values);
            }
        }
    }
}

#[tokio::test]
async fn a_part_that_is_missing_is_400_and_one_that_cannot_be_is_500() {
    let with = |other| get(name).layer(layer(key::parts([key::header("x-tenant"), other])));
    let server = serve(
        Router::new()
            .route("/header", with(key::header("x-id")))
            .route("/param/{id}", with(key::path_param("account")))
            .route("/constant", with(key::constant("a\nb")))
            .route("/empty", get(name).layer(layer(key::parts([])))),
    )
    .await;
    let tenant = [("x-tenant", "1")];
    let answer = send(&server, "/header", &tenant).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["detail"], "the request has no header `x-id`");
    for path in ["/param/1", "/constant", "/empty"] {
        let answer = send(&server, path, &tenant).await;
        assert_eq!(answer.json()["type"], "urn:orchestrix:locking:misconfigured", "{path}");
    }
}

#[tokio::test]
async fn percent_encoding_is_undone_once_in_parameters_and_never_in_paths() {
    let server = serve(
        Router::new()
            .route("/param/{id}", get(name).layer(layer(key::path_param("id"))))
            .route("/parts/{id}", get(name).layer(layer(key::parts([key::path_param("id")]))))
            .route("/path/{id}", get(name).layer(layer(key::path())))
            .route("/header", get(name).layer(layer(key::header("x-id")))),
    )
    .await;
    assert_eq!(server.get("/param/%2541").await.body, "%41");
    assert_eq!(server.get("/param/%41").await.body, "A");
    assert_eq!(server.get("/parts/%2541").await.body, "%41");
    assert_eq!(server.get("/path/%2541").await.body, "/path/%2541");
    assert_eq!(server.get("/path/%41").await.body, "/path/%41");
    assert_eq!(send(&server, "/header", &[("x-id", "%2541")]).await.body, "%2541");
}

#[tokio::test]
async fn nested_routers_see_all_parameters_and_the_whole_path() {
    let key = || key::parts([key::path_param("tenant"), key::path_param("shop"), key::path_param("id")]);
    let items = Router::new()
        .route("/{id}", get(name).route_layer(layer(key())))
        .route("/{id}/path", get(name).route_layer(layer(key::path())));
    let shops = Router::new().nest("/shops/{shop}", items);
    // Around a nested router the layer sees the parameters of the outer route and of the inner one.
    let around = Router::new().route("/{id}", get(name)).layer(layer(key::path_param("id")));
    let app = Router::new().nest("/{tenant}", shops).nest("/around", around);
    let server = serve(app).await;
    assert_eq!(server.get("/a%3Ab/shops/c/7").await.body, parts(["a:b", "c", "7"]));
    assert_eq!(server.get("/a/shops/c/7/path").await.body, "/a/shops/c/7/path");
    assert_eq!(server.get("/around/9").await.body, "9");
}

#[derive(Clone)]
struct User {
    tenant: String,
}

/// Stands for a layer that authenticates.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let token = request.headers().get("authorization").map(|token| token.to_str().unwrap().to_owned());
    if let Some(token) = token {
        request.extensions_mut().insert(User { tenant: token.replace("Bearer", "").trim().to_owned() });
    }
    next.run(request).await
}

#[tokio::test]
async fn an_extension_of_a_layer_outside_names_the_lock() {
    let by_tenant = || key::extension::<User>(|user| user.tenant.clone());
    let router = Router::new()
        .route("/{id}", get(name).layer(layer(key::parts([by_tenant(), key::path_param("id")]))))
        .route("/", get(name).layer(layer(by_tenant().prefixed("tenant"))))
        .layer(from_fn(authenticate));
    let server = serve(router).await;
    assert_eq!(send(&server, "/", &[("authorization", "Bearer t1")]).await.body, "tenant:t1");
    assert_eq!(send(&server, "/7", &[("authorization", "Bearer t1")]).await.body, "t1:7");
    let unknown = send(&server, "/", &[]).await;
    assert_eq!(unknown.json()["type"], "urn:orchestrix:locking:misconfigured");
    assert!(!unknown.body.contains("User"), "no client needs to know the program's types");
    let empty = send(&server, "/", &[("authorization", "Bearer ")]).await;
    assert_eq!(
        (empty.status, empty.json()["type"].as_str()),
        (StatusCode::BAD_REQUEST, Some("urn:orchestrix:locking:invalid-key"))
    );
    // An extension that axum's own layer inserts is found too.
    let shared = Router::new()
        .route("/", get(name).layer(layer(by_tenant())))
        .layer(Extension(User { tenant: "shared".to_owned() }));
    assert_eq!(serve(shared).await.get("/").await.body, "shared");
}

#[tokio::test]
async fn metadata_is_a_header_and_binary_metadata_is_decoded() {
    let server = serve(
        Router::new()
            .route("/ascii", get(name).layer(layer(key::metadata("x-tenant"))))
            .route("/bin", get(name).layer(layer(key::metadata("X-Tenant-bin").prefixed("t"))))
            .route("/impossible", get(name).layer(layer(key::metadata("not a name")))),
    )
    .await;
    assert_eq!(send(&server, "/ascii", &[("x-tenant", "dMO8Yg==")]).await.body, "dMO8Yg==");
    for spelling in ["dMO8Yg==", "dMO8Yg"] {
        assert_eq!(send(&server, "/bin", &[("x-tenant-bin", spelling)]).await.body, "t:tüb");
    }
    let bad: [&[(&str, &str)]; 6] = [
        &[],
        &[("x-tenant-bin", "")],
        &[("x-tenant-bin", "not base64!")],
        &[("x-tenant-bin", "YQ==,Yg==")],
        &[("x-tenant-bin", "YQ=="), ("x-tenant-bin", "YQ==")],
        // The two bytes ff fe.
        &[("x-tenant-bin", "//4=")],
    ];
    for headers in bad {
        let answer = send(&server, "/bin", headers).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
        let grpc = [headers, &[("content-type", "application/grpc")]].concat();
        assert_eq!(send(&server, "/bin", &grpc).await.header("grpc-status"), Some("3"));
    }
    assert_eq!(send(&server, "/impossible", &[]).await.status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// Counts the locks that it is asked for.
#[derive(Debug, Default)]
struct Counting {
    locks: InMemoryLockProvider,
    asked: AtomicUsize,
}

impl DistributedLockProvider for Counting {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.locks.create_lock(resource, options)
    }
}

#[tokio::test]
async fn a_bad_key_is_refused_before_the_provider_is_asked() {
    let provider = Arc::new(Counting::default());
    let layer = |key| HttpLockLayer::new(provider.clone(), key);
    let server = serve(
        Router::new()
            .route("/param/{id}", get(name).layer(layer(key::path_param("id").prefixed("p"))))
            .route("/parts/{id}", get(name).layer(layer(key::parts([key::header("x-tenant"), key::path_param("id")]))))
            .route("/path/{*rest}", get(name).layer(layer(key::path())))
            .route("/closure", get(name).layer(HttpLockLayer::new(provider.clone(), |_: &Request| "x".repeat(513)))),
    )
    .await;
    let long = "7".repeat(513);
    let (param, path) = (format!("/param/{long}"), format!("/path/{long}"));
    let bad: [(&str, &[(&str, &str)]); 9] = [
        (&param, &[]),
        (&path, &[]),
        ("/param/a%0Ab", &[]),
        ("/param/a%00", &[]),
        ("/param/%C2%85", &[]),
        ("/parts/1", &[]),
        ("/parts/1", &[("x-tenant", &long)]),
        ("/parts/1", &[("x-tenant", "tab\tbed")]),
        ("/closure", &[]),
    ];
    for (path, headers) in bad {
        let answer = send(&server, path, headers).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {headers:?}");
        assert_eq!(answer.json()["type"], "urn:orchestrix:locking:invalid-key");
        assert!(!answer.body.contains(&long), "a refusal does not send back what it refuses");
        let grpc = [headers, &[("content-type", "application/grpc")]].concat();
        assert_eq!(send(&server, path, &grpc).await.header("grpc-status"), Some("3"));
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 0);
    assert_eq!(send(&server, "/parts/1", &[("x-tenant", "a")]).await.body, "a:1");
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
}
