//! Requests that are answered before they are read to their end.
//!
//! A client that is still sending doesn't listen, and a system that closes a connection over bytes that nobody read resets it: the
//! answer, such as "too large", may never be seen. So what is left of a short body is read before the answer goes out, and a
//! connection that can't be used any more is closed in peace ([`Patient`]).

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Bytes that are read for nothing before an answer.
const MOST: u64 = 64 << 20;
/// How long that may take, and how long nothing may come.
const LONGEST: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(1);

/// A body that comes back when whoever reads it has had enough.
struct Lent {
    body: Option<Body>,
    back: Arc<Mutex<Option<Body>>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.back.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

/// Reads what is left of a request before it is answered; where that is too much, the answer says that the connection ends.
pub(crate) async fn to_the_end(request: Request, next: Next) -> Response {
    // Who asks first whether to send a body hasn't sent it.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let back = Arc::new(Mutex::new(None));
    let lent = {
        let back = back.clone();
        request.map(|body| Body::new(Lent { body: Some(body), back }))
    };
    let mut response = next.run(lent).await;
    let left = back.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(left) = left
        && (asks_first || !drain(left).await)
    {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Reads a body to its end, if that is near.
async fn drain(body: Body) -> bool {
    if body.size_hint().lower() > MOST {
        return false;
    }
    let mut pieces = body.into_data_stream();
    let until = Instant::now() + LONGEST;
    let mut taken = 0;
    while taken <= MOST && Instant::now() < until {
        match timeout(IDLE, pieces.next()).await {
            Ok(Some(Ok(piece))) => taken += piece.len() as u64,
            Ok(None) => return true,
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
    false
}

/// A connection that, when it is closed, still hears the client out for a moment.
pub(crate) struct Patient {
    stream: TcpStream,
    closing: Option<Closing>,
}

struct Closing {
    /// When nothing came for so long, nothing more is waited for.
    quiet: Pin<Box<Sleep>>,
    until: Instant,
}

impl Patient {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, closing: None }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, closing } = &mut *self;
        if closing.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        let Closing { quiet, until } = closing.get_or_insert_with(|| Closing {
            quiet: Box::pin(sleep(IDLE / 2)),
            until: Instant::now() + LONGEST,
        });
        let mut scratch = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                // The client has closed, or is gone.
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if Instant::now() < *until => {
                    quiet.as_mut().reset(Instant::now() + IDLE / 2);
                }
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Pending => return quiet.as_mut().poll(context).map(Ok),
            }
        }
    }
}
