//! A consumer of webhooks that come late, twice and out of order: each customer's events are applied once and in order,
//! and customers do not wait for each other.
//!
//! Run it with `cargo run --example webhooks`.

#[path = "support/http.rs"]
mod http;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::post;
use http::{Client, ensure, serve};
use orchestrix_locking::{BoxError, Locking, key};
use tokio::task::JoinSet;
use tokio::time::sleep;

const CUSTOMERS: [(&str, &str); 3] = [("token-a", "Ada"), ("token-b", "Bob"), ("token-c", "Cem")];
const EVENTS: u32 = 8;

/// The sender of the event. It is read from the token, so a customer cannot take another customer's lock.
#[derive(Debug, Clone)]
struct Customer(&'static str);

async fn authenticate(mut request: Request, next: Next) -> Result<Response, StatusCode> {
    let token = request.headers().get("authorization").ok_or(StatusCode::UNAUTHORIZED)?;
    let customer = CUSTOMERS.iter().find(|(known, _)| token == known).ok_or(StatusCode::UNAUTHORIZED)?;
    let customer = Customer(customer.1);
    request.extensions_mut().insert(customer);
    Ok(next.run(request).await)
}

/// Stands for a database: the applied events, in order.
#[derive(Debug, Default)]
struct Books {
    applied: Mutex<HashMap<&'static str, Vec<u32>>>,
    working: AtomicUsize,
    most: AtomicUsize,
}

impl Books {
    fn applied(&self) -> MutexGuard<'_, HashMap<&'static str, Vec<u32>>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self, customer: &str) -> u32 {
        self.applied().get(customer).and_then(|events| events.last().copied()).unwrap_or(0)
    }
}

/// Compares, works, and writes. Correct only if no other event of the same customer is applied meanwhile.
async fn event(
    State(books): State<Arc<Books>>,
    Extension(Customer(customer)): Extension<Customer>,
    Path(number): Path<u32>,
) -> StatusCode {
    let expected = books.last(customer) + 1;
    if number < expected {
        return StatusCode::OK; // a copy of one that was applied
    }
    if number > expected {
        return StatusCode::TOO_EARLY; // to be sent again, after the one that is missing
    }
    books.most.fetch_max(books.working.fetch_add(1, SeqCst) + 1, SeqCst);
    sleep(Duration::from_millis(5)).await;
    books.applied().entry(customer).or_default().push(number);
    books.working.fetch_sub(1, SeqCst);
    StatusCode::CREATED
}

fn routes(locking: &Locking, books: Arc<Books>) -> Router {
    let one_customer = key::extension::<Customer>(|customer| customer.0.to_owned()).prefixed("customer");
    Router::new()
        // Granted in the order of arrival. A sender that is refused tries again.
        .route(
            "/events/{number}",
            post(event).route_layer(locking.http_layer(one_customer).wait(Duration::from_secs(2))),
        )
        // Added later, so outside: strangers never wait for a lock.
        .route_layer(from_fn(authenticate))
        .with_state(books)
}

/// Sends one event until it is accepted, as senders of webhooks do.
async fn deliver(client: Client, token: &'static str, number: u32) -> Result<usize, BoxError> {
    for attempt in 1.. {
        let answer = client.send("POST", &format!("/events/{number}"), &[("authorization", token)], "").await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => return Ok(attempt),
            StatusCode::TOO_EARLY | StatusCode::SERVICE_UNAVAILABLE => sleep(Duration::from_millis(5)).await,
            other => return Err(format!("event {number} was answered with {other}").into()),
        }
    }
    Ok(0)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let locking = Locking::builder().add_in_memory_locking().build()?;
    let books = Arc::new(Books::default());
    let client = serve(routes(&locking, Arc::clone(&books))).await?;

    // Everything at once, the last events first, and each of them twice.
    let mut deliveries = JoinSet::new();
    for (token, _) in CUSTOMERS {
        for number in (1..=EVENTS).rev().chain(1..=EVENTS) {
            deliveries.spawn(deliver(client.clone(), token, number));
        }
    }
    let (mut events, mut attempts) = (0, 0);
    while let Some(delivered) = deliveries.join_next().await {
        attempts += delivered??;
        events += 1;
    }
    println!("{events} deliveries were made in {attempts} attempts");

    for (_, customer) in CUSTOMERS {
        let applied = books.applied().get(customer).cloned().unwrap_or_default();
        println!("  {customer}: {applied:?}");
        ensure(applied == (1..=EVENTS).collect::<Vec<_>>(), "events are applied once and in order")?;
    }
    println!("  customers at work at once, at most: {}", books.most.load(SeqCst));
    ensure(books.most.load(SeqCst) <= CUSTOMERS.len(), "one event at a time for each customer")?;

    let stranger = client.send("POST", "/events/1", &[("authorization", "guessed")], "").await?;
    println!("  a stranger gets {}", stranger.status);
    ensure(stranger.status == StatusCode::UNAUTHORIZED, "strangers do not get to the lock")?;
    // Before the program ends: on Redis this waits for the last releases.
    locking.close().await;
    Ok(())
}
