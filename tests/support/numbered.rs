//! Requests with a number: a client's name, an epoch, a sequence.

use super::http::{Http, Reply};

/// The topic of every request with a number.
pub(crate) const PATH: &str = "/v1/topics/t/records";

/// A client, its epoch, and the sequence of one of its requests.
pub(crate) type Number<'a> = (&'a str, u64, u64);

/// Sends the request and waits for its reply.
pub(crate) fn post(http: &mut Http, number: Number<'_>, more: &[(&str, &str)], body: &str) -> Reply {
    send(http, number, more, body);
    http.reply().expect("a reply")
}

/// Sends the request.
pub(crate) fn send(http: &mut Http, (client, epoch, sequence): Number<'_>, more: &[(&str, &str)], body: &str) {
    let (epoch, sequence) = (epoch.to_string(), sequence.to_string());
    let mut headers = vec![
        ("content-type", "application/json"),
        ("pointsman-client", client),
        ("pointsman-epoch", &epoch),
        ("pointsman-sequence", &sequence),
    ];
    headers.extend(more);
    http.send("POST", PATH, &headers, body.as_bytes());
}
