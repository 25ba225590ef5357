//! A tonic service written by hand, and a client of it.

use std::convert::Infallible;
use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use http::uri::PathAndQuery;
use http::{Request, Response};
use orchestrix_locking::LockHandle;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;
use tonic::{Status, Streaming};
use tower::{Service, service_fn};

use super::text_codec::TextCodec;

/// Sends one more message each time that the test lets it.
#[derive(Clone)]
pub(super) struct Calls {
    pub(super) begun: Arc<Semaphore>,
    pub(super) go: Arc<Semaphore>,
    pub(super) finished: Arc<Semaphore>,
}

impl Calls {
    pub(super) fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { begun: none(), go: none(), finished: none() }
    }

    async fn unary(self, request: tonic::Request<String>) -> Result<tonic::Response<String>, Status> {
        self.begun.add_permits(1);
        self.go.acquire().await.unwrap().forget();
        self.finished.add_permits(1);
        let lock = request.extensions().get::<LockHandle>().ok_or_else(|| Status::internal("no lock"))?;
        Ok(tonic::Response::new(format!("{} under {}", request.get_ref(), lock.resource())))
    }

    /// Sends as many messages as the request asks for. `fail` ends with an error instead.
    fn download(self, request: &tonic::Request<String>) -> Result<Messages, Status> {
        let (count, fails) = match request.get_ref().as_str() {
            "fail" => (1, true),
            count => (count.parse().map_err(|_| Status::invalid_argument("no number"))?, false),
        };
        let messages = stream::iter(0..count).then(move |number: u32| {
            let go = self.go.clone();
            async move {
                go.acquire().await.unwrap().forget();
                if fails { Err(Status::data_loss("on purpose")) } else { Ok(number.to_string()) }
            }
        });
        Ok(tonic::Response::new(messages.boxed()))
    }
}

type Messages = tonic::Response<BoxStream<'static, Result<String, Status>>>;

impl NamedService for Calls {
    const NAME: &'static str = "test.Calls";
}

/// What code generation would write.
impl Service<Request<tonic::body::Body>> for Calls {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let calls = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(TextCodec);
            let method = request.uri().path().to_owned();
            Ok(match method.as_str() {
                "/test.Calls/Unary" => grpc.unary(service_fn(|it| calls.clone().unary(it)), request).await,
                "/test.Calls/Download" => {
                    grpc.server_streaming(service_fn(|it| ready(calls.clone().download(&it))), request).await
                }
                // Sends every message back.
                "/test.Calls/Echo" => {
                    let echo = |it: tonic::Request<Streaming<String>>| it.into_inner().boxed();
                    grpc.streaming(service_fn(|it| ready(Ok(tonic::Response::new(echo(it))))), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

pub(super) struct Client(pub(super) tonic::client::Grpc<Channel>);

impl Client {
    /// A client of a server of its own that has `service`.
    pub(super) async fn of<S>(service: S) -> Self
    where
        S: Service<Request<tonic::body::Body>, Error = Infallible, Future: Send>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true))));
        let channel =
            Channel::from_shared(format!("http://{address}")).unwrap().tcp_nodelay(true).connect().await.unwrap();
        Self(tonic::client::Grpc::new(channel))
    }

    pub(super) async fn unary(&mut self, text: &str) -> Result<String, Status> {
        self.0.ready().await.unwrap();
        let request = tonic::Request::new(text.to_owned());
        Ok(self.0.unary(request, method("Unary"), TextCodec).await?.into_inner())
    }

    pub(super) async fn download(&mut self, text: &str) -> Result<Streaming<String>, Status> {
        self.0.ready().await.unwrap();
        let request = tonic::Request::new(text.to_owned());
        Ok(self.0.server_streaming(request, method("Download"), TextCodec).await?.into_inner())
    }

    pub(super) async fn echo(
        &mut self,
        texts: impl Stream<Item = String> + Send + 'static,
    ) -> Result<Streaming<String>, Status> {
        self.0.ready().await.unwrap();
        Ok(self.0.streaming(tonic::Request::new(texts), method("Echo"), TextCodec).await?.into_inner())
    }
}

pub(super) fn method(name: &str) -> PathAndQuery {
    PathAndQuery::try_from(format!("/test.Calls/{name}")).unwrap()
}
