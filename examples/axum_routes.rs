//! A shop whose routes lock different things: orders per tenant and number, exports per name, on a provider each.
//!
//! Run it with `cargo run --example axum_routes`.

#[path = "support/http.rs"]
mod http;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use http::{ensure, serve};
use orchestrix_locking::{BoxError, InMemoryLockProvider, LockHandle, Locking, key};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[derive(Debug, Default)]
struct Shop {
    shipping: Gauge,
    export_begun: Notify,
    export_may_end: Notify,
}

/// How many requests are inside at once, and the maximum so far.
#[derive(Debug, Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    async fn inside(&self, work: Duration) {
        let now = self.now.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        sleep(work).await;
        self.now.fetch_sub(1, SeqCst);
    }
}

fn routes(locking: &Locking, shop: Arc<Shop>) -> Result<Router, BoxError> {
    // Order 7 of one tenant is not order 7 of another. A job that ships orders takes the same lock by the name
    // `Resource::from_parts(["order", tenant, id])`.
    let order = key::parts([key::path_param("tenant"), key::path_param("id")]).prefixed("order");
    let one_order = locking.named("orders")?.http_layer(order).wait(Duration::from_secs(5));
    // An export takes minutes. A second request for the same one is refused at once.
    let one_export =
        locking.named("exports")?.http_layer(key::path_param("name").prefixed("export")).wait(Duration::ZERO);

    Ok(Router::new()
        .route("/tenants/{tenant}/orders/{id}/ship", post(ship).route_layer(one_order))
        .route("/exports/{name}", post(export).route_layer(one_export))
        // Reading needs no lock.
        .route("/health", get(|| async { "well" }))
        .with_state(shop))
}

async fn ship(State(shop): State<Arc<Shop>>, Path((tenant, id)): Path<(String, String)>, lock: LockHandle) -> String {
    shop.shipping.inside(Duration::from_millis(20)).await;
    format!("{tenant}'s order {id} shipped under the lock {}", lock.resource())
}

async fn export(State(shop): State<Arc<Shop>>) -> &'static str {
    shop.export_begun.notify_one();
    shop.export_may_end.notified().await;
    "exported"
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // In production these could be different Redis servers, so that many exports do not slow orders down.
    let locking = Locking::builder()
        .add_in_memory_locking()
        .add_provider("orders", InMemoryLockProvider::new())
        .add_provider("exports", InMemoryLockProvider::new())
        .build()?;
    let shop = Arc::new(Shop::default());
    let client = serve(routes(&locking, Arc::clone(&shop))?).await?;

    println!("Five requests ship order 7 of one tenant at once:");
    let answer = ship_at_once(&client, &["/tenants/red/orders/7/ship"; 5]).await?;
    println!("  {answer}\n  most of them at work at once: {}", shop.shipping.most.load(SeqCst));
    ensure(shop.shipping.most.swap(0, SeqCst) == 1, "one at a time for one order")?;

    println!("Two tenants ship their order 7 at once:");
    ship_at_once(&client, &["/tenants/red/orders/7/ship", "/tenants/blue/orders/7/ship"]).await?;
    println!("  most of them at work at once: {}", shop.shipping.most.load(SeqCst));

    println!("An export runs, and is asked for again:");
    let first = client.send("POST", "/exports/sales", &[], "");
    let meanwhile = async {
        shop.export_begun.notified().await;
        let again = client.send("POST", "/exports/sales", &[], "").await?;
        println!("  {} {}", again.status, again.body);
        ensure(again.status == 409, "an export that runs is not begun again")?;
        let other = client.send("POST", "/tenants/red/orders/8/ship", &[], "").await?;
        println!("  meanwhile: {}", other.body);
        shop.export_may_end.notify_one();
        Ok::<_, BoxError>(())
    };
    let (first, meanwhile) = tokio::join!(first, meanwhile);
    meanwhile?;
    println!("  {}", first?.body);
    println!("Without a lock: {}", client.send("GET", "/health", &[], "").await?.body);
    // Before the program ends: on Redis this waits for the last releases.
    locking.close().await;
    Ok(())
}

/// The last answer of several requests that are sent together.
async fn ship_at_once(client: &http::Client, paths: &[&'static str]) -> Result<String, BoxError> {
    let mut requests = JoinSet::new();
    for path in paths.iter().copied() {
        let client = client.clone();
        requests.spawn(async move { client.send("POST", path, &[], "").await });
    }
    let mut last = String::new();
    while let Some(answer) = requests.join_next().await {
        let answer = answer??;
        ensure(answer.status == 200, "every order is shipped")?;
        last = answer.body;
    }
    Ok(last)
}
