use proptest::prelude::*;

use super::*;

/// The head of a request without a client id, in the form of its version.
fn head(api: Api, version: i16) -> Vec<u8> {
    let mut head = Vec::new();
    head.extend(api.key().to_be_bytes());
    head.extend(version.to_be_bytes());
    head.extend(7_i32.to_be_bytes());
    head.extend([0xff, 0xff]);
    if version >= api.flexible() {
        head.push(0);
    }
    head
}

fn produce_in(version: i16) -> Vec<u8> {
    let flexible = version >= 9;
    let mut request = head(Api::Produce, version);
    let text = |text: &str| match flexible {
        true => [&[text.len() as u8 + 1][..], text.as_bytes()].concat(),
        false => [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat(),
    };
    let length = |length: u8| {
        if flexible {
            vec![length + 1]
        } else {
            vec![0, 0, 0, length]
        }
    };
    request.extend(if flexible { vec![0] } else { vec![0xff, 0xff] });
    request.extend((-1_i16).to_be_bytes());
    request.extend(1_000_i32.to_be_bytes());
    request.extend(length(1));
    request.extend(text("orders"));
    request.extend(length(1));
    request.extend(5_i32.to_be_bytes());
    request.extend(length(3));
    request.extend(b"abc");
    if flexible {
        request.extend([0, 0, 0]);
    }
    request
}

#[test]
fn a_produce_request_reads_the_same_in_both_forms() {
    for version in [3, 8, 9, 12] {
        let (to, request) = read(Bytes::from(produce_in(version))).expect("a request");
        assert_eq!((to.version, to.correlation), (version, 7));
        let Request::Produce(produce) = request else {
            panic!("{request:?}");
        };
        assert_eq!(
            (produce.acks, produce.timeout_ms, produce.transactional),
            (-1, 1_000, false)
        );
        let [topic] = &produce.topics[..] else {
            panic!("{produce:?}");
        };
        assert_eq!(topic.name.as_str(), "orders");
        assert_eq!(topic.partitions, [(5, Bytes::from_static(b"abc"))]);
    }
}

#[test]
fn every_version_that_is_listed_is_read_and_no_other() {
    for api in Api::ALL {
        let (first, last) = api.versions();
        for version in [first - 1, last + 1] {
            let read = read(Bytes::from(head(api, version)));
            let is_newer = matches!(read, Ok((_, Request::NewerApiVersions)));
            assert!(
                is_newer || matches!(read, Err(Unreadable::NotListed { .. })),
                "{api:?} {version}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_of_a_request_panic_or_reserve_more_than_they_are(
        key in prop::sample::select(Api::ALL.map(Api::key).to_vec()),
        version in -1..14_i16,
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let request = [&key.to_be_bytes()[..], &version.to_be_bytes(), &rest].concat();
        if let Ok((_, request)) = read(Bytes::from(request)) {
            prop_assert!(request.parts() <= rest.len());
        }
    }

    #[test]
    fn no_part_of_a_produce_request_is_taken_for_the_whole(version in 3..=12_i16, cut in any::<prop::sample::Index>()) {
        let whole = produce_in(version);
        let cut = cut.index(whole.len());
        prop_assert!(read(Bytes::from(whole[..cut].to_vec())).is_err());
    }
}
