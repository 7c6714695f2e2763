//! Checks the proxy itself before anything is measured through it.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::support::delay_proxy::DelayProxy;

/// How far off a round trip may be at the median, on a machine that does nothing else.
const GOAL: Duration = Duration::from_micros(100);
/// Somebody else may use the machine. What is ten times off would make the figures worthless.
const WORST: u32 = 10;
const ROUNDS: usize = 200;

/// Prints how long a byte takes there and back, and fails if that is not the distance that was asked for.
pub(crate) fn measure(round_trips_ms: &[f64]) {
    let echo = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = echo.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in echo.incoming().map_while(Result::ok) {
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || answer(&stream));
        }
    });
    let [p50, p99] = echo_ms(port);
    println!("an echo takes {p50:.3} ms (p50), {p99:.3} ms (p99)");
    let proxy = DelayProxy::new(1);
    proxy.lead(0, port);
    for &wanted in round_trips_ms {
        proxy.set_round_trip(Duration::from_secs_f64(wanted / 1e3));
        let [p50, p99] = echo_ms(proxy.ports()[0]);
        println!("through the proxy at {wanted} ms: {p50:.3} ms (p50), {p99:.3} ms (p99)");
        let off = Duration::from_secs_f64((p50 - wanted).abs() / 1e3);
        assert!(off < GOAL * WORST, "the proxy is {off:?} off at {wanted} ms");
    }
}

/// Sends back what it gets, until the connection is closed.
fn answer(mut stream: &TcpStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() {
        if stream.write_all(&byte).is_err() {
            return;
        }
    }
}

/// p50 and p99.
fn echo_ms(port: u16) -> [f64; 2] {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut took: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            stream.write_all(&[0]).unwrap();
            stream.read_exact(&mut [0]).unwrap();
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    [took[ROUNDS / 2], took[ROUNDS * 99 / 100]]
}
