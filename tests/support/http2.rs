//! Helpers for clients of HTTP/2 that send each frame themselves.

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;

/// Sends these bytes as the other side gives room. None where it gives no more.
pub(crate) async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes, ends: bool) -> Option<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = std::future::poll_fn(|context| stream.poll_capacity(context))
            .await?
            .ok()?;
        let piece = bytes.split_to(capacity.min(bytes.len()));
        stream.send_data(piece, ends && bytes.is_empty()).ok()?;
    }
    Some(())
}

/// Reads the whole answer: its status and its body. The error says how it broke off, and after which bytes.
pub(crate) async fn whole(answer: ResponseFuture) -> Result<(u16, Vec<u8>), (h2::Error, Vec<u8>)> {
    let answer = answer.await.map_err(|error| (error, Vec::new()))?;
    let status = answer.status().as_u16();
    let (mut body, mut bytes) = (answer.into_body(), Vec::new());
    while let Some(data) = body.data().await {
        let data = match data {
            Ok(data) => data,
            Err(error) => return Err((error, bytes)),
        };
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    Ok((status, bytes))
}
