//! A viewer at a WebSocket (RFC 6455). It is sent the same texts as all others, from where they are kept once; what it sends is read and
//! ignored.

use std::time::Duration;

use ::service::{http::Place, problem::Problem};
use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Buf as _;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        handshake::server::create_response_with_body,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                FrameHeader,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::{COMMENT, News, Watching};

/// The largest message that a viewer may send, in bytes: it has nothing to say.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// How much is read at once, in bytes. The buffer is there as long as the viewer.
const READ_BYTES: usize = 1_024;
/// How many bytes of answers to pings wait for a viewer that does not read; the newest answer takes the place of those beyond.
const WRITE_BYTES_MAX: usize = 1_024;
/// The longest head of a frame from here, in bytes: without a mask.
const HEAD_BYTES_MAX: usize = 10;
/// How long a viewer may take to read the last message.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Returns whether a request asks for a WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE);
    upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Accepts the handshake of a viewer, and shows it what there is.
///
/// # Errors
/// 400 if it is no handshake.
pub(super) fn accept(mut request: Request, watching: Watching) -> Result<Response, Problem> {
    let not_one =
        |what: &str| Problem::bad_request(format!("It is no WebSocket handshake: {what}."));
    let response = create_response_with_body(&request, Body::empty)
        .map_err(|error| not_one(&error.to_string()))?;
    let upgrade = request
        .extensions_mut()
        .remove::<OnUpgrade>()
        .ok_or_else(|| not_one("the connection can't be taken over"))?;
    let place = request.extensions_mut().remove::<Place>();
    tokio::spawn(async move {
        if let Ok(connection) = upgrade.await {
            show(connection, watching).await;
        }
        drop(place);
    });
    debug_assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    Ok(response.into_response())
}

/// Sends what the viewer is told, until one of both ends it.
async fn show(connection: Upgraded, mut watching: Watching) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let connection = TokioIo::new(connection);
    let mut socket = WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await;
    let stop = watching.live.stop.clone();
    loop {
        let news = tokio::select! {
            news = watching.next() => news,
            said = socket.next() => match said {
                Some(Ok(Message::Close(_))) => {
                    // The answer to it is in the socket's buffer.
                    let _best_effort = timeout(CLOSE_MAX, socket.flush()).await;
                    return;
                }
                Some(Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        let text = match news {
            Some(News::Events(events)) => events,
            // No ping: browsers tell their pages of none, and a page has to know that it is not cut off.
            Some(News::Nothing) => Bytes::from_static(COMMENT),
            None => break,
        };
        // The connection's own limit ends a viewer that does not read.
        let sent = tokio::select! {
            sent = send(&mut socket, text) => sent,
            () = stop.cancelled() => return,
        };
        if sent.is_err() {
            return;
        }
    }
    let reason = Utf8Bytes::from_static("come back with the last id");
    let goodbye = CloseFrame { code: CloseCode::Away, reason };
    let _best_effort = timeout(CLOSE_MAX, socket.close(Some(goodbye))).await;
}

/// Sends a text in one frame, past the socket's buffer: that would stay as large as the largest text, for each viewer.
async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    text: Bytes,
) -> Result<(), Error> {
    // An answer to a ping may be under way.
    socket.flush().await?;
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
    header.format(text.len() as u64, &mut head)?;
    let connection = socket.get_mut();
    connection.write_all_buf(&mut head.as_slice().chain(text)).await?;
    connection.flush().await?;
    Ok(())
}
