//! With a token, clients authenticate by SASL PLAIN before anything else.

use std::io::Write as _;

use crate::support::{
    kafka_wire::{Batch, NONE, Wire, record, text},
    sidecar::Sidecar,
};

use super::{connect, read_back, sidecar};

const HANDSHAKE: (i16, i16) = (17, 1);
const AUTHENTICATE: (i16, i16) = (36, 0);
const AUTHENTICATION_FAILED: i16 = 58;
const UNSUPPORTED_MECHANISM: i16 = 33;

fn with_token() -> (Sidecar, tempfile::NamedTempFile) {
    let mut token = tempfile::NamedTempFile::new().expect("a file");
    writeln!(token, "a-secret").expect("written");
    let sidecar = sidecar().listen(&format!("token_file = {:?}", token.path())).start();
    (sidecar, token)
}

fn error(wire: &mut Wire) -> i16 {
    let answer = wire.answer().expect("an answer");
    i16::from_be_bytes([answer[0], answer[1]])
}

pub(super) fn authenticate(wire: &mut Wire, message: &[u8]) -> i16 {
    wire.send(HANDSHAKE, &text("PLAIN"));
    assert_eq!(error(wire), NONE);
    wire.send(
        AUTHENTICATE,
        &[&(message.len() as i32).to_be_bytes()[..], message].concat(),
    );
    error(wire)
}

#[test]
fn the_token_opens_the_listener_and_nothing_else_does() {
    let (sidecar, _token) = with_token();
    for wrong in [
        &b"\0user\0a-secre"[..],
        b"\0user\0a-secret2",
        b"\0user\0",
        b"a-secret",
        b"",
    ] {
        let mut wire = connect(&sidecar);
        assert_eq!(authenticate(&mut wire, wrong), AUTHENTICATION_FAILED, "{wrong:?}");
        assert!(wire.is_closed());
    }
    let mut wire = connect(&sidecar);
    assert_eq!(authenticate(&mut wire, b"\0any user\0a-secret"), NONE);
    assert_eq!(
        wire.produce("guarded", &Batch::of(&[record("k", "v")]).bytes()).error,
        NONE
    );
    assert_eq!(read_back(&sidecar, "guarded", 1).len(), 1);
}

#[test]
fn nothing_is_taken_from_a_client_that_has_not_shown_the_token() {
    let (sidecar, _token) = with_token();
    let mut wire = connect(&sidecar);
    wire.send((18, 0), &[]);
    assert_eq!(error(&mut wire), NONE, "which versions there are is no secret");
    wire.send_batch("guarded", 0, -1, &Batch::of(&[record("k", "v")]).bytes());
    assert!(wire.is_closed());
    let mut wire = connect(&sidecar);
    wire.send(HANDSHAKE, &text("SCRAM-SHA-256"));
    assert_eq!(error(&mut wire), UNSUPPORTED_MECHANISM);
    wire.send((3, 4), &[0xff, 0xff, 0xff, 0xff, 1]);
    assert!(wire.is_closed());
    assert_eq!(
        sidecar.metric("pointsman_records_total{outcome=\"acked\",topic=\"guarded\"}"),
        0.0
    );
}
