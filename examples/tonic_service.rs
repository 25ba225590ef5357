//! A ledger as a gRPC service: one entry at a time per account, and statements that do not change while they are sent.
//!
//! Run it with `cargo run --example tonic_service`.

#[path = "support/text_codec.rs"]
mod text_codec;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::uri::PathAndQuery;
use orchestrix_locking::{BoxError, LockHandle, Locking, key};
use text_codec::TextCodec;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{Layer, Service, service_fn};

// ---- The service ---------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Default)]
struct Ledger {
    accounts: Arc<Mutex<HashMap<String, Vec<i64>>>>,
}

impl Ledger {
    fn entries(&self, account: &str) -> Vec<i64> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(account).cloned().unwrap_or_default()
    }

    /// Adds an entry to an account: reads, works, and writes.
    async fn post(self, request: Request<String>) -> Result<Response<String>, Status> {
        let amount: i64 = request.get_ref().parse().map_err(|_| Status::invalid_argument("not an amount"))?;
        let account = account(&request)?;
        // The layer put it there. A store that gets the token can refuse a holder that has lost the lock.
        let lock = request.extensions().get::<LockHandle>().ok_or_else(|| Status::internal("no lock"))?;
        let token = lock.fencing_token();

        let mut entries = self.entries(&account);
        sleep(Duration::from_millis(2)).await;
        entries.push(amount);
        let count = entries.len();
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(account, entries);
        Ok(Response::new(format!("entry {count} with token {token}")))
    }

    /// Streams the entries of an account, read one by one as from a large table.
    fn statement(self, request: &Request<String>) -> Result<Response<Lines>, Status> {
        let account = account(request)?;
        let lines = stream::unfold(0, move |line| {
            let (ledger, account) = (self.clone(), account.clone());
            async move {
                sleep(Duration::from_millis(2)).await;
                let entries = ledger.entries(&account);
                let entry = entries.get(line)?;
                Some((Ok(format!("{} of {}: {entry}", line + 1, entries.len())), line + 1))
            }
        });
        Ok(Response::new(lines.boxed()))
    }
}

type Lines = BoxStream<'static, Result<String, Status>>;

fn account<T>(request: &Request<T>) -> Result<String, Status> {
    let account = request.metadata().get("x-account").and_then(|account| account.to_str().ok());
    account.map(str::to_owned).ok_or_else(|| Status::invalid_argument("no account"))
}

/// What code generation writes for a service.
impl Service<http::Request<tonic::body::Body>> for Ledger {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let ledger = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(TextCodec);
            Ok(match request.uri().path() {
                "/bank.Ledger/Post" => grpc.unary(service_fn(|it| ledger.clone().post(it)), request).await,
                "/bank.Ledger/Statement" => {
                    grpc.server_streaming(service_fn(|it| ready(ledger.clone().statement(&it))), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl NamedService for Ledger {
    const NAME: &'static str = "bank.Ledger";
}

// ---- A client of it ------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Client(tonic::client::Grpc<Channel>);

impl Client {
    fn request(account: &'static str, message: &str) -> Request<String> {
        let mut request = Request::new(message.to_owned());
        request.metadata_mut().insert("x-account", tonic::metadata::MetadataValue::from_static(account));
        request
    }

    async fn post(&mut self, request: Request<String>) -> Result<String, Status> {
        self.0.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let method = PathAndQuery::from_static("/bank.Ledger/Post");
        Ok(self.0.unary(request, method, TextCodec).await?.into_inner())
    }

    async fn statement(&mut self, account: &'static str) -> Result<Streaming<String>, Status> {
        self.0.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let method = PathAndQuery::from_static("/bank.Ledger/Statement");
        Ok(self.0.server_streaming(Self::request(account, ""), method, TextCodec).await?.into_inner())
    }
}

// ---- What it shows -------------------------------------------------------------------------------------------

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let locking = Locking::builder().add_in_memory_locking().build()?;
    let one_account = locking.http_layer(key::metadata("x-account").prefixed("account")).wait(Duration::from_secs(5));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    // The layer goes around the service, which keeps its name.
    let server = Server::builder().add_service(one_account.layer(Ledger::default()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
    let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
    let mut client = Client(tonic::client::Grpc::new(channel));

    println!("Ten entries at once, each of which reads all that there are and writes one more:");
    let mut posts = JoinSet::new();
    for amount in 0..10 {
        let mut client = client.clone();
        posts.spawn(async move { client.post(Client::request("alice", &amount.to_string())).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = posts.join_next().await {
        answers.push(answer??);
    }
    answers.sort_by_key(String::len);
    println!("  {}", answers.last().map_or("", String::as_str));

    println!("A statement is streamed, and an entry is sent meanwhile:");
    let mut statement = client.statement("alice").await?;
    let mut lines: Vec<String> = statement.message().await?.into_iter().collect();
    let mut other = client.clone();
    let entry = tokio::spawn(async move { other.post(Client::request("alice", "1000")).await });
    println!("  another account is free: {}", client.post(Client::request("bob", "1")).await?);
    while let Some(line) = statement.message().await? {
        lines.push(line);
    }
    println!("  the statement ends with {}", lines.last().map_or("", String::as_str));
    println!("  and then comes {}", entry.await??);
    if lines.len() != 10 || !lines.iter().all(|line| line.contains("of 10:")) {
        return Err(format!("entries were lost, or came under way: {lines:?}").into());
    }

    println!("A call that does not say whose account it is about:");
    match client.post(Request::new("1".to_owned())).await {
        Err(refused) if refused.code() == Code::InvalidArgument => println!("  refused: {}", refused.message()),
        other => return Err(format!("the call was not refused: {other:?}").into()),
    }
    // Before the program ends: on Redis this waits for the last releases.
    locking.close().await;
    Ok(())
}
