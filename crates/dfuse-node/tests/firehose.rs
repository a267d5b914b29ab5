//! What endpoints send, as it is stored.
#![allow(clippy::unwrap_used)]

use dfuse_antelope::model::{Block, Message, wire::ReverseWriter};
use dfuse_blocks::EncodedBlock;
use dfuse_deep_mind::{Event, Reader};
use dfuse_node::firehose::{ForkStep, Received, Sent};
use dfuse_proto::{Any, sf::firehose::v2::Response};
use dfuse_testkit::synthetic::SyntheticChain;

fn block() -> Block {
    let mut log = Vec::new();
    SyntheticChain::builder().seed(1).blocks(12).build().write_log(&mut log).unwrap();
    let mut reader = Reader::new(&log[..]);
    let mut last = None;
    while let Some(event) = reader.next_event().unwrap() {
        if let Event::Block(block) = event {
            last = Some(*block);
        }
    }
    last.unwrap()
}

fn response(value: Vec<u8>) -> Response {
    let type_url = "type.googleapis.com/sf.antelope.type.v1.Block".to_owned();
    let block = Some(Any { type_url, value: value.into() });
    Response { block, step: ForkStep::StepNew.into(), cursor: "here".to_owned(), metadata: None }
}

#[test]
fn bytes_of_others_are_kept_as_they_are() {
    let block = block();
    // A field that no schema here has: an encoder of ours would leave it out.
    let mut value = block.to_bytes().to_vec();
    value.extend([0xc0, 0xbb, 0x01, 0x07]);
    let received = Received::read(response(value.clone())).unwrap();
    assert_eq!((received.cursor.as_str(), &*received.block), ("here", &block));
    assert_eq!(received.encoded.payload().unwrap(), value);
    let own = EncodedBlock::encode(&block, &mut ReverseWriter::new()).unwrap();
    assert_eq!((received.encoded.id(), received.encoded.previous()), (own.id(), own.previous()));
    assert_eq!((received.encoded.lib_number(), received.encoded.time()), (own.lib_number(), own.time()));
}

#[test]
fn json_of_others_is_dropped_and_filtered_blocks_are_taken() {
    let plain = block();
    let mut with_json = plain.clone();
    with_json.unfiltered_transaction_traces[0].action_traces[0].action.json_data = "{}".to_owned();
    let received = Received::read(response(with_json.to_bytes().to_vec())).unwrap();
    assert_eq!(received.encoded.payload().unwrap(), plain.to_bytes());
    assert_eq!(Sent::read(response(with_json.to_bytes().to_vec())).unwrap().block, with_json);
    let part = Block { filtering_applied: true, ..plain };
    let received = Received::read(response(part.to_bytes().to_vec())).unwrap();
    assert_eq!(*received.block, part, "its endpoint has a filtered chain");
    assert_eq!(Sent::read(response(part.to_bytes().to_vec())).unwrap().block, part);
    for (wrong, why) in [
        (Response { block: None, ..response(vec![]) }, "without a block"),
        (Response { step: 9, ..response(vec![]) }, "unknown step"),
        (response(vec![0xff; 4]), "cannot be read"),
        (response(vec![]), "cannot be"),
    ] {
        let refused = Received::read(wrong).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
}
