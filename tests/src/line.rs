//! A client of `OpenAI` Realtime, as an SDK is one: it asks for an upgrade, sends events and takes those that come.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message, Utf8Bytes,
        http::{HeaderName, HeaderValue, Response},
    },
};

use crate::tap::{Tap, Watch};

/// The response of a server that does not switch.
pub type Refusal = Box<Response<Option<Vec<u8>>>>;

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open connection. Dropping it ends it without a word.
#[derive(Debug)]
pub struct Line {
    runtime: Runtime,
    socket: Option<WebSocketStream<Tap<TcpStream>>>,
    watch: Watch,
    response: Response<Option<Vec<u8>>>,
}

impl Line {
    /// Asks for an upgrade, as a client that can take compressed messages.
    ///
    /// # Errors
    /// The response, if the server does not switch.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Refusal> {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let mut request = format!("ws://{address}{path}").into_client_request().expect("an address and a path");
        let usual = [
            ("authorization", "Bearer sk-test-0123456789"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ];
        for (name, value) in usual.iter().chain(headers) {
            let value = HeaderValue::from_str(value).expect("a value");
            request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
        }
        let opened = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("the listener");
            let (tap, watch) = Tap::new(stream);
            let opened = timeout(PATIENCE, client_async(request, tap)).await.expect("an answer");
            opened.map(|(socket, response)| (socket, response, watch))
        });
        match opened {
            Ok((socket, response, watch)) => Ok(Self { runtime, socket: Some(socket), watch, response }),
            Err(Error::Http(response)) => Err(response),
            Err(error) => panic!("{error}"),
        }
    }

    /// A header of the response to the upgrade.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Sends an event.
    pub fn send(&mut self, event: &Value) {
        let message = Message::Text(Utf8Bytes::from(event.to_string()));
        let Self { runtime, socket, .. } = self;
        let socket = socket.as_mut().expect("it is open");
        runtime.block_on(socket.send(message)).expect("it takes it");
    }

    /// Asks Realtime for a response that goes as this script says.
    pub fn ask(&mut self, script: &Value) {
        let response = json!({ "metadata": { "test": script.to_string() } });
        self.send(&json!({ "type": "response.create", "response": response }));
    }

    /// The next event; none if the connection is over.
    pub fn take(&mut self) -> Option<Value> {
        let Self { runtime, socket, .. } = self;
        let socket = socket.as_mut()?;
        loop {
            let message = runtime.block_on(async { timeout(PATIENCE, socket.next()).await }).expect("in time")?;
            match message {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits for an event of that type.
    pub fn wait(&mut self, kind: &str) -> Value {
        loop {
            let event = self.take().unwrap_or_else(|| panic!("the connection is over, and no {kind} came"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    /// Closes the connection as the protocol wants it, and waits until it is over.
    pub fn close(&mut self) {
        let Self { runtime, socket, .. } = self;
        let socket = socket.as_mut().expect("it is open");
        runtime.block_on(socket.close(None)).expect("it is open");
        while self.take().is_some() {}
    }

    /// All bytes after the upgrade: those that came, and those that went.
    #[must_use]
    pub fn frames(&self) -> (Vec<u8>, Vec<u8>) {
        let traffic = self.watch.traffic();
        let after = |bytes: Vec<u8>| {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("headers");
            bytes[end + 4..].to_vec()
        };
        (after(traffic.read), after(traffic.written))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        self.socket.take();
    }
}
