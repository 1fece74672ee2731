//! A collector of spans on a socket of its own: takes OTLP as protobuf, or doesn't.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What has come.
#[derive(Debug, Default)]
struct Taken {
    heads: Vec<String>,
    requests: Vec<ExportTraceServiceRequest>,
}

/// It listens until it is dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
    _task: JoinSet<()>,
}

impl Collector {
    /// Takes everything.
    pub(crate) async fn new() -> Self {
        Self::at(([127, 0, 0, 1], 0).into()).await
    }

    /// Reads everything and never answers.
    pub(crate) async fn hanging() -> Self {
        Self::answering(([127, 0, 0, 1], 0).into(), None, None).await
    }

    /// Takes all but so many spans of each request.
    pub(crate) async fn rejecting(spans: i64, why: &str) -> Self {
        let part = ExportTracePartialSuccess { rejected_spans: spans, error_message: why.into() };
        let answer = ExportTraceServiceResponse { partial_success: Some(part) };
        Self::answering(([127, 0, 0, 1], 0).into(), Some(answer), None).await
    }

    /// Takes everything at this address.
    pub(crate) async fn at(address: SocketAddr) -> Self {
        Self::answering(address, Some(ExportTraceServiceResponse::default()), None).await
    }

    /// Takes everything over TLS.
    pub(crate) async fn secured(acceptor: TlsAcceptor) -> Self {
        let answer = Some(ExportTraceServiceResponse::default());
        Self::answering(([127, 0, 0, 1], 0).into(), answer, Some(acceptor)).await
    }

    async fn answering(
        address: SocketAddr,
        answer: Option<ExportTraceServiceResponse>,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let answer = answer.map(|answer| answer.encode_to_vec());
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let taken = Arc::<Mutex<Taken>>::default();
        let keeps = Arc::clone(&taken);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (keeps, tls, answer) = (Arc::clone(&keeps), tls.clone(), answer.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, keeps, answer).await,
                        Some(tls) => {
                            // Who doesn't trust it ends the handshake.
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, keeps, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, taken, _task: task }
    }

    /// Where spans go.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where spans go over TLS.
    pub(crate) fn secured_endpoint(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The request lines and headers so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).heads.clone()
    }

    /// How many spans each request had so far.
    pub(crate) fn batches(&self) -> Vec<usize> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let resources = |request: &ExportTraceServiceRequest| request.resource_spans.clone();
        let scopes = |request| resources(request).into_iter().flat_map(|it| it.scope_spans);
        taken.requests.iter().map(|it| scopes(it).map(|scope| scope.spans.len()).sum()).collect()
    }

    /// The spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let resources = taken.requests.iter().flat_map(|request| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// What the first request says of who sends.
    pub(crate) fn resource(&self, key: &str) -> Option<Value> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let resource = taken.requests.first()?.resource_spans.first()?.resource.as_ref()?;
        value(&resource.attributes, key)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    taken: Arc<Mutex<Taken>>,
    answer: Option<Vec<u8>>,
) {
    while let Some((head, body)) = request(&mut stream).await {
        let request = ExportTraceServiceRequest::decode(&*body).expect("the body is OTLP");
        {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            taken.heads.push(head);
            taken.requests.push(request);
        }
        let Some(answer) = &answer else { continue };
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: {length}\r\n\r\n"
        );
        if stream.write_all(&[head.as_bytes(), answer].concat()).await.is_err() {
            return;
        }
    }
}

async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).expect("a head is ASCII").to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.expect("a length").parse().expect("a number")];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

/// The value of an attribute.
pub(crate) fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

/// The same where it is text.
pub(crate) fn attribute(span: &Span, key: &str) -> String {
    match value(&span.attributes, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?} in {span:?}"),
    }
}

/// An id as everybody writes it.
pub(crate) fn hex(id: &[u8]) -> String {
    let add = |text: String, byte: &u8| text + &format!("{byte:02x}");
    id.iter().fold(String::new(), add)
}
