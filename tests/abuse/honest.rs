//! A client that does nothing wrong.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{http::Http, sidecar::Sidecar};

/// A client that does nothing wrong, and measures how it is served.
pub(super) struct Honest {
    socket: PathBuf,
    /// The epoch of the numbers of its next requests.
    epoch: AtomicU64,
}

/// How an honest client was served.
pub(super) struct Quality {
    pub(super) p99: Duration,
    pub(super) answered: u64,
    /// How many requests were refused with 503.
    pub(super) refused: u64,
    /// The answers that were neither an outcome nor a 503.
    pub(super) wrong: Vec<String>,
}

impl Honest {
    pub(super) fn of(sidecar: &Sidecar) -> Self {
        Self {
            socket: sidecar.unix.clone(),
            epoch: AtomicU64::new(0),
        }
    }

    /// Sends a record first, so that the topic is known.
    pub(super) fn warm_up(&self, topic: &str) {
        let reply = Http::unix(&self.socket).json(&format!("/v1/topics/{topic}/records"), r#"{"value":1}"#);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// Sends one record a request, one numbered request after the other, now and then over a new connection.
    pub(super) fn send(&self, length: Duration) -> Quality {
        self.send_each(length, Duration::ZERO)
    }

    /// The same with pauses, so that it takes little of the machine.
    pub(super) fn send_seldom(&self, length: Duration) -> Quality {
        self.send_each(length, Duration::from_millis(5))
    }

    fn send_each(&self, length: Duration, pause: Duration) -> Quality {
        let begun = Instant::now();
        let (mut times, mut refused, mut wrong) = (Vec::new(), 0, Vec::new());
        let mut connection = Http::unix(&self.socket);
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed).to_string();
        let mut number = 1_u64;
        while begun.elapsed() < length {
            if times.len().is_multiple_of(64) {
                connection = Http::unix(&self.socket);
            }
            // This sleep paces the client; it waits for no condition.
            std::thread::sleep(pause);
            let asked = Instant::now();
            let body = format!(
                r#"{{"key":"k-{}","value":{{"number":{number},"name":"some text"}}}}"#,
                number % 50
            );
            connection.send(
                "POST",
                "/v1/topics/t/records",
                &[
                    ("content-type", "application/json"),
                    ("pointsman-client", "honest"),
                    ("pointsman-epoch", &epoch),
                    ("pointsman-sequence", &number.to_string()),
                ],
                body.as_bytes(),
            );
            let Some(reply) = connection.reply() else {
                wrong.push("an honest connection was closed".to_owned());
                break;
            };
            times.push(asked.elapsed());
            match reply.status {
                200 => number += 1,
                503 => refused += 1,
                other => wrong.push(format!("an honest request was told {other}: {}", reply.text())),
            }
        }
        times.sort_unstable();
        let p99 = times.get(times.len() * 99 / 100).copied();
        Quality {
            p99: p99.unwrap_or(length),
            answered: times.len() as u64,
            refused,
            wrong,
        }
    }
}
