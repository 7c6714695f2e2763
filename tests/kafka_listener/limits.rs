//! Limits at their smallest and their largest: an honest producer loses and doubles nothing, however often it is told to come back.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use rdkafka::mocking::MockCluster;

use crate::support::{
    consumer::read,
    kafka_wire::{Batch, METADATA, NONE, PRODUCE, Producer, Wire, framed, metadata, produce, record, request, told},
    sidecar::{Builder, Sidecar, eventually},
};

use super::{connect, read_back, sidecar};

/// Sends batches of one record until each is acknowledged. Returns how often one had to be sent again.
fn send_all(wire: &mut Wire, topic: &str, producer: &mut Producer, numbers: std::ops::Range<usize>) -> usize {
    let mut again = 0;
    for number in numbers {
        let batch = producer.batch(&[record("one key", &number.to_string())]);
        while wire.produce(topic, &batch).error != NONE {
            again += 1;
            assert!(again < 1_000, "record {number} is never taken");
        }
    }
    again
}

/// The numbers stand in the topic once each, in their order.
fn assert_in_order(sidecar: &Sidecar, topic: &str, count: usize) {
    let read = read_back(sidecar, topic, count);
    let numbers: Vec<usize> = read.iter().map(|read| read.text().parse().expect("a number")).collect();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "{topic}");
}

#[test]
fn the_smallest_limits_lose_and_double_nothing_of_an_honest_producer() {
    for limits in [
        "max_records = 1",
        "max_connections = 1",
        "max_connections = 2",
        "max_connections = 3",
        "max_body_bytes = 200",
        "client_window = 1",
        "max_clients = 1",
        "max_clients = 1\nclient_window = 1\nmax_records = 1\nmax_connections = 1",
    ] {
        let sidecar = sidecar().config(&format!("[limits]\n{limits}")).start();
        let mut wire = connect(&sidecar);
        let mut producer = wire.producer();
        let again = send_all(&mut wire, "small", &mut producer, 0..20);
        assert_eq!(again, 0, "{limits}");
        // Every batch that is still remembered is known when it comes again.
        producer.next -= 1;
        assert_eq!(send_all(&mut wire, "small", &mut producer, 19..20), 0, "{limits}");
        send_all(&mut wire, "small", &mut producer, 20..40);
        assert_in_order(&sidecar, "small", 40);
    }
}

#[test]
fn a_thousand_partitions_of_many_topics_are_told_within_the_memory_that_a_request_may_take() {
    let mut sidecar = sidecar()
        .listen("kafka_partitions = 1000")
        .config("[limits]\nmax_buffered_bytes = 16777216\n[[route]]\ntopics = [\"*\"]")
        .start();
    let names: Vec<String> = (0..300).map(|n| format!("wide-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut wire = connect(&sidecar);
    for some in names.chunks(50) {
        eventually("the topics are known", || {
            wire.metadata(Some(some)).iter().all(|(_, error, _)| *error == NONE)
        });
    }
    let before = sidecar.resident_bytes();
    for asked in [Some(&names[..]), None] {
        let told = wire.metadata(asked);
        assert!(told.len() == names.len(), "each topic is told of");
        assert!(
            told.iter()
                .any(|(_, error, partitions)| (*error, *partitions) == (NONE, 1_000))
        );
        // Those that do not fit are asked for again.
        assert!(
            told.iter()
                .all(|(_, error, partitions)| matches!((*error, *partitions), (NONE, 1_000) | (5, 0)))
        );
    }
    let again = vec![names[0]; 5_000];
    assert_eq!(
        wire.metadata(Some(&again)),
        [(names[0].to_owned(), NONE, 1_000)],
        "a topic is told of once"
    );
    let grown = sidecar.most_resident_bytes().saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes");
    let batch = Batch::of(&[record("k", "v")]).bytes();
    wire.send_batch(names[0], 999, -1, &batch);
    assert_eq!(wire.told().error, NONE);
    assert!(sidecar.is_alive());
}

#[test]
fn answers_that_nobody_reads_are_counted_and_given_up_when_their_client_goes() {
    let sidecar = sidecar().config("[[route]]\ntopics = [\"*\"]").start();
    let names: Vec<String> = (0..9_000).map(|n| format!("b/ad-{n:0>200}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let request = request(METADATA, 1, &metadata(Some(&names)));
    let mut stream = TcpStream::connect(sidecar.kafka.expect("a listener")).expect("a connection");
    let closing = stream.try_clone().expect("the same connection");
    // More than what the kernel buffers.
    let sending = std::thread::spawn(move || while stream.write_all(&request).is_ok() {});
    eventually("answers are held", || sidecar.metric("pointsman_buffered_bytes") > 4e6);
    closing.shutdown(Shutdown::Both).expect("closed");
    sending.join().expect("no panic");
    eventually("nothing is held", || sidecar.metric("pointsman_buffered_bytes") == 0.0);
    eventually("nobody is connected", || sidecar.metric("pointsman_connections") == 0.0);
}

#[test]
fn a_client_without_the_password_gets_no_room_for_a_large_request() {
    let mut token = tempfile::NamedTempFile::new().expect("a file");
    writeln!(token, "a-secret").expect("written");
    let sidecar = sidecar().listen(&format!("token_file = {:?}", token.path())).start();
    let mut strangers: Vec<_> = (0..20).map(|_| connect(&sidecar)).collect();
    for stranger in &mut strangers {
        stranger.bytes(&framed(&vec![0; 1 << 20])[..64 << 10]);
    }
    assert!(strangers.iter_mut().all(Wire::is_closed));
    assert!(
        sidecar.log_text().contains("before authentication"),
        "{}",
        sidecar.log_text()
    );
    assert_eq!(sidecar.metric("pointsman_buffered_bytes"), 0.0);
}

#[test]
fn wrong_passwords_without_end_shut_nobody_out() {
    let mut token = tempfile::NamedTempFile::new().expect("a file");
    writeln!(token, "a-secret").expect("written");
    let sidecar = sidecar().listen(&format!("token_file = {:?}", token.path())).start();
    let right = || {
        let mut wire = connect(&sidecar);
        assert_eq!(super::password::authenticate(&mut wire, b"\0any user\0a-secret"), NONE);
        wire
    };
    let (mut wire, batch) = (right(), Batch::of(&[record("k", "v")]).bytes());
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let mut wire = connect(&sidecar);
                        assert_ne!(super::password::authenticate(&mut wire, b"\0any user\0another"), NONE);
                    }
                })
            })
            .collect();
        while !attackers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert_eq!(wire.produce("guarded", &batch).error, NONE);
            assert_eq!(right().produce("guarded", &batch).error, NONE);
        }
    });
    drop(wire);
    eventually("nobody is connected", || sidecar.metric("pointsman_connections") == 0.0);
}

#[test]
fn connections_that_announce_a_request_keep_no_place_from_those_that_send_one() {
    let sidecar = sidecar().config("[limits]\nmax_connections = 8").start();
    let whole = framed(&vec![0; 1 << 10]);
    let _announced: Vec<_> = (0..40)
        .map(|number| {
            let mut wire = connect(&sidecar);
            wire.bytes(&whole[..[4, 500][number % 2]]);
            wire
        })
        .collect();
    let mut wire = connect(&sidecar);
    let mut producer = wire.producer();
    assert_eq!(send_all(&mut wire, "placed", &mut producer, 0..10), 0);
    assert_in_order(&sidecar, "placed", 10);
}

#[test]
fn batches_that_wait_for_a_broker_that_never_answers_leave_room_for_a_large_request() {
    let brokers = MockCluster::new(2).unwrap();
    for (topic, leader) in [("frozen", 2), ("open", 1)] {
        brokers.create_topic(topic, 1, 1).unwrap();
        brokers.partition_leader(topic, 0, Some(leader)).unwrap();
    }
    let sidecar = Builder::kafka(&brokers.bootstrap_servers())
        .listen("kafka = \"127.0.0.1:0\"")
        .config("[limits]\nmax_buffered_bytes = 16777216")
        .start();
    let mut open = connect(&sidecar);
    let one = Batch::of(&[record("k", "v")]).bytes();
    for topic in ["frozen", "open"] {
        assert_eq!(open.produce(topic, &one).error, NONE);
    }
    brokers
        .broker_round_trip_time(2, std::time::Duration::from_secs(3_600))
        .unwrap();
    let text = "x".repeat(500_000);
    let batch = Batch::of(&[record("k", &text), record("k", &text)]).bytes();
    let _patient: Vec<_> = (0..30)
        .map(|_| {
            let mut wire = connect(&sidecar);
            wire.send(PRODUCE, &produce(-1, i32::MAX, &[("frozen", 0, &batch)]));
            wire
        })
        .collect();
    eventually("the queue of the partition is full", || {
        sidecar.metric("pointsman_buffered_bytes") > 8e6
    });
    for _ in 0..5 {
        // On a slow machine there may be no room for seconds. Then the connection is closed before anything is taken, and a client comes
        // again.
        eventually("a large request of another partition passes", || {
            let answer = match open.try_send_batch("open", &batch) {
                true => open.answer(),
                false => None,
            };
            match answer {
                Some(answer) => told(&answer)[0].error == NONE,
                None => {
                    open = connect(&sidecar);
                    false
                }
            }
        });
    }
    assert_eq!(read(&brokers.bootstrap_servers(), "open", 11).len(), 11);
}
