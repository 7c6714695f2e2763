//! Clients of the protocols that wrap, split or rename what they are sent: Dapr's, Confluent's and CloudEvents.

use tokio::io::AsyncWriteExt as _;

use super::clients::{Target, sized, until_closed};

/// Bulks of as many events as there may be, each of a few bytes, whose records no broker answers.
pub(super) fn tiny_bulks(target: &Target) {
    let entry = "{\"entryId\":\"\",\"event\":1,\"contentType\":\"\"}";
    let dapr = format!("[{}]", vec![entry; 9_900].join(","));
    let confluent = format!("{{\"records\":[{}]}}", vec!["{}"; 9_900].join(","));
    let event = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\"}";
    let events = format!("[{}]", vec![event; 9_900].join(","));
    let requests = [
        ("/v1.0/publish/bulk/p/frozen", "application/json", dapr),
        ("/topics/frozen", "application/vnd.kafka.json.v2+json", confluent),
        (
            "/v1/topics/frozen/records",
            "application/cloudevents-batch+json",
            events,
        ),
    ];
    target.each(150, move |target, number| {
        let (path, kind, body) = requests[number % requests.len()].clone();
        async move {
            let mut socket = target.tcp().await?;
            socket.write_all(sized(path, kind, body.len()).as_bytes()).await.ok()?;
            socket.write_all(body.as_bytes()).await.ok()?;
            until_closed(&mut socket).await
        }
    });
}

/// Data that grows when it is wrapped: bytes become base64, control characters become escapes. Nobody reads the answers.
pub(super) fn growing_data(target: &Target) {
    let data = vec![1_u8; 700 << 10];
    target.each(100, move |target, number| {
        let data = data.clone();
        async move {
            let mut socket = target.tcp().await?;
            let kind = ["application/octet-stream", "text/plain"][number % 2];
            loop {
                let head = sized("/v1.0/publish/p/t", kind, data.len());
                socket.write_all(head.as_bytes()).await.ok()?;
                socket.write_all(&data).await.ok()?;
            }
        }
    });
}
