//! A small HTTP server on loopback that lets its handler break the connection.

use std::{convert::Infallible, io, io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::watch,
};

/// A response body that may fail, which cuts the connection.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there at once.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The connection under a request.
#[derive(Clone, Debug)]
pub struct Connection(Arc<std::net::TcpStream>);

impl Connection {
    /// From here on, closing it sends a reset instead of an orderly end.
    pub fn reset_on_close(&self) {
        let _best_effort = SockRef::from(&*self.0).set_linger(Some(Duration::ZERO));
    }

    /// Writes bytes that are no answer of the server's, a few at most.
    pub fn write(&self, bytes: &[u8]) {
        let _best_effort = (&*self.0).write_all(bytes);
    }
}

/// What answers requests. An error cuts the connection without an answer.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
    ) -> impl Future<Output = io::Result<Response<Body>>> + Send;
}

/// A running server. Dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    _runtime: Runtime,
}

impl Server {
    /// Starts on that loopback port; 0 takes any.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start<H: Handler>(port: u16, handler: Arc<H>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // A collector that comes back takes its old port while old connections still linger.
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).with_context(|| format!("port {port}"))?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        let guard = runtime.enter();
        let listener = TcpListener::from_std(socket.into())?;
        drop(guard);
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handler = Arc::clone(&handler);
                let mut stopped = stopped.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(stream, handler) => {}
                        _ = stopped.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, stop, _runtime: runtime })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn serve<H: Handler>(stream: TcpStream, handler: Arc<H>) {
    let _slower = stream.set_nodelay(true);
    let Ok(std_stream) = stream.into_std() else { return };
    let Ok(clone) = std_stream.try_clone() else { return };
    let connection = Connection(Arc::new(clone));
    let Ok(stream) = TcpStream::from_std(std_stream) else { return };
    let service = service_fn(move |request| Arc::clone(&handler).handle(request, connection.clone()));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().half_close(false);
    // A client that goes away is its own business.
    let _gone = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}
