//! A storm of reloads under steady traffic to a real Kafka: nothing fails, nothing is lost, nothing is reordered, no
//! invalid version ever decides, no version comes back after a newer one, and memory does not grow.
//!
//! `make test` runs a short storm; `make chaos` runs the long one, with `POINTSMAN_STORM_SWAPS`.

use std::collections::HashMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use base64_simd::STANDARD;
use serde_json::Value;

use crate::support::{
    components,
    http::Http,
    kafka::Kafka,
    plugin_folder::{PluginFolder, built, deciding, digest, version},
    sidecar::{Builder, Sidecar, eventually},
};

const SWAPS: u32 = 40;
/// The pause between two swaps: 200 swaps in a minute.
const BETWEEN_SWAPS: Duration = Duration::from_millis(300);
/// One version in this many is invalid.
const INVALID_ONE_IN: u32 = 10;
/// After this many swaps memory should no longer grow.
const PLATEAU_SWAPS: u32 = 20;
const GROWTH_BYTES: u64 = 16 << 20;
const TOPIC: &str = "storm";
const RECORDS_A_REQUEST: u64 = 5;
const BETWEEN_REQUESTS: Duration = Duration::from_millis(4);

#[test]
fn a_storm_of_reloads_loses_reorders_and_fails_nothing() {
    let swaps = std::env::var("POINTSMAN_STORM_SWAPS").map_or(SWAPS, |text| text.parse().expect("a number"));
    let kafka = Kafka::single();
    kafka.create_topic(TOPIC, 12, &[]).unwrap();
    let folder = PluginFolder::new();
    let storm = Storm::new(swaps);
    folder.put_as_config_map("p", &storm.contents[0], 0);
    let sidecar = Builder::kafka(&kafka.bootstrap())
        // A cache of its own, so that each version is compiled.
        .config(&folder.config(&format!("cache_dir = {:?}", folder.beside("cache"))))
        .route("*", "p", "")
        .start();
    let begun = Instant::now();
    let (streams, plateau) = thread::scope(|scope| {
        let (stops, clients): (Vec<_>, Vec<_>) = (0..4)
            .map(|client: u64| {
                let (stop, stopped) = mpsc::sync_channel::<()>(0);
                let sidecar = &sidecar;
                let stream = move || {
                    let connection = if client.is_multiple_of(2) {
                        sidecar.unix()
                    } else {
                        sidecar.tcp()
                    };
                    Stream::send(client, connection, &stopped)
                };
                (stop, scope.spawn(stream))
            })
            .unzip();
        let plateau = storm.rage(&folder, &sidecar);
        drop(stops);
        let streams: Vec<Stream> = clients
            .into_iter()
            .map(|client| client.join().expect("a client is well"))
            .collect();
        (streams, plateau)
    });
    let took = begun.elapsed();
    for stream in &streams {
        storm.judge(stream);
    }
    let grown = sidecar.resident_bytes().saturating_sub(plateau);
    eprintln!(
        "storm: {swaps} swaps in {:.1} s, {} records in {} requests, slowest request {:?}, {} versions seen deciding; \
         resident {} KiB after {PLATEAU_SWAPS} swaps, {} KiB more at the end",
        took.as_secs_f64(),
        streams.iter().map(|stream| stream.records).sum::<u64>(),
        streams
            .iter()
            .map(|stream| stream.records / RECORDS_A_REQUEST)
            .sum::<u64>(),
        streams.iter().map(|stream| stream.slowest).max().unwrap(),
        streams.iter().map(|stream| stream.digests.len()).max().unwrap(),
        plateau >> 10,
        grown >> 10,
    );
    assert!(grown <= GROWTH_BYTES, "{grown} bytes more than after the first swaps");
    nothing_is_lost_or_out_of_order(kafka, &streams);
}

/// The versions that the plugin's file holds, one after the other.
struct Storm {
    contents: Vec<Vec<u8>>,
    digests: Vec<String>,
}

impl Storm {
    fn new(swaps: u32) -> Self {
        let good = built("key-hash");
        let invalid = [
            components::truncated(&good).into_owned(),
            b"no plugin".to_vec(),
            components::endless_start(),
            components::with_sockets(),
        ];
        let contents: Vec<Vec<u8>> = (0..=swaps)
            .map(|number| match number % INVALID_ONE_IN {
                5 => version(&invalid[(number / INVALID_ONE_IN) as usize % invalid.len()], number),
                _ => version(&good, number),
            })
            .collect();
        let digests = contents.iter().map(|bytes| digest(bytes)).collect();
        Self { contents, digests }
    }

    fn is_valid(number: usize) -> bool {
        number as u32 % INVALID_ONE_IN != 5
    }

    /// Makes all swaps. Returns the memory that was resident after the first ones.
    fn rage(&self, folder: &PluginFolder, sidecar: &Sidecar) -> u64 {
        let (_timer, ticks) = mpsc::sync_channel::<()>(0);
        let mut plateau = 0;
        for (number, bytes) in (0_u32..).zip(&self.contents).skip(1) {
            // This wait paces the swaps; they come whether or not the sidecar keeps up.
            assert_eq!(ticks.recv_timeout(BETWEEN_SWAPS), Err(RecvTimeoutError::Timeout));
            folder.put_as_config_map("p", bytes, number);
            if number == PLATEAU_SWAPS {
                plateau = sidecar.resident_bytes();
            }
        }
        let last = (0..self.contents.len())
            .rfind(|number| Self::is_valid(*number))
            .expect("a valid one");
        eventually("the last version decides", || {
            deciding(sidecar, TOPIC) == self.digests[last]
        });
        plateau
    }

    fn judge(&self, stream: &Stream) {
        let numbers: Vec<usize> = stream
            .digests
            .iter()
            .map(|seen| {
                let number = self.digests.iter().position(|digest| digest == seen);
                number.expect("only what the file has held decides")
            })
            .collect();
        assert!(
            numbers.iter().all(|number| Self::is_valid(*number)),
            "an invalid version decided: {numbers:?}"
        );
        assert!(
            numbers.is_sorted(),
            "an old version decided after a newer one: {numbers:?}"
        );
        assert!(
            numbers.len() > self.contents.len() / 4,
            "too few versions ever decided: {numbers:?}"
        );
    }
}

/// What one connection sent and saw.
struct Stream {
    client: u64,
    records: u64,
    slowest: Duration,
    /// The digests that decided, in order, without consecutive repeats.
    digests: Vec<String>,
}

impl Stream {
    fn send(client: u64, mut connection: Http, stopped: &mpsc::Receiver<()>) -> Self {
        let mut stream = Self {
            client,
            records: 0,
            slowest: Duration::ZERO,
            digests: Vec::new(),
        };
        while stopped.recv_timeout(BETWEEN_REQUESTS) == Err(RecvTimeoutError::Timeout) {
            let lines: String = (stream.records..stream.records + RECORDS_A_REQUEST)
                .map(|number| {
                    format!(
                        "{{\"key\":\"{client}-{}\",\"value\":[{client},{number}]}}\n",
                        number % 7
                    )
                })
                .collect();
            let headers = [("content-type", "application/x-ndjson"), ("pointsman-trace", "1")];
            let begun = Instant::now();
            let reply = connection.post(&format!("/v1/topics/{TOPIC}/records"), &headers, lines.as_bytes());
            stream.slowest = stream.slowest.max(begun.elapsed());
            assert_eq!(reply.status, 200, "{}", reply.text());
            for record in reply.json()["records"].as_array().expect("records") {
                let digest = record["plugin"]["digest"].as_str().expect("a plugin decided");
                if stream.digests.last().is_none_or(|last| last != digest) {
                    stream.digests.push(digest.to_owned());
                }
            }
            stream.records += RECORDS_A_REQUEST;
        }
        stream
    }
}

fn nothing_is_lost_or_out_of_order(kafka: &Kafka, streams: &[Stream]) {
    let mut last: HashMap<(u64, u64), u64> = HashMap::new();
    let mut count: HashMap<u64, u64> = HashMap::new();
    for line in kafka.read(TOPIC).expect("readable") {
        let record: Value = serde_json::from_str(&line).unwrap();
        let value = STANDARD
            .decode_to_vec(record["value"].as_str().unwrap_or_default())
            .unwrap();
        // Requests that only asked which version decides have no such value.
        let Ok(Value::Array(value)) = serde_json::from_slice(&value) else {
            continue;
        };
        let (client, number) = (value[0].as_u64().unwrap(), value[1].as_u64().unwrap());
        let partition = record["partition"].as_u64().unwrap();
        let before = last.insert((client, partition), number);
        assert!(
            before < Some(number),
            "{number} of client {client} comes after {before:?} in partition {partition}"
        );
        *count.entry(client).or_default() += 1;
    }
    for stream in streams {
        assert_eq!(
            count.get(&stream.client),
            Some(&stream.records),
            "client {}",
            stream.client
        );
    }
}
