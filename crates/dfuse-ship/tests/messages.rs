//! What a client and a node say to each other.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Read};

use dfuse_antelope::{Checksum256, raw::Writer};
use dfuse_ship::{BlocksRequest, Error, Position, Protocol, Request, Response, Results, Status};
use dfuse_testkit::ship::Version;
use serde_json::{Value, json};

fn at(block_num: u32) -> Position {
    Position { block_num, block_id: Checksum256::sha256(&block_num.to_le_bytes()) }
}

#[test]
fn requests_are_packed_as_nodes_read_them() {
    assert_eq!(Request::Status.pack(), [0]);
    assert_eq!(Request::Ack(258).pack(), [2, 2, 1, 0, 0]);
    let mut request = BlocksRequest {
        start_block_num: 5,
        end_block_num: u32::MAX,
        max_messages_in_flight: 50,
        have_positions: vec![at(3), at(4)],
        fetch_block: true,
        fetch_deltas: true,
        ..BlocksRequest::default()
    };
    let packed = Request::Blocks(request.clone()).pack();
    assert_eq!(packed[..14], [1, 5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 50, 0, 0, 0, 2]);
    assert_eq!(packed[14..18], 3_u32.to_le_bytes());
    assert_eq!((packed.len(), &packed[86..]), (90, &[0, 1, 0, 1][..]));
    assert_eq!(Request::unpack(&packed).unwrap(), Request::Blocks(request.clone()));
    request.fetch_finality_data = Some(false);
    let newer = Request::Blocks(request.clone()).pack();
    assert_eq!((newer[0], newer.len()), (3, 91));
    assert_eq!(Request::unpack(&newer).unwrap(), Request::Blocks(request));
    for end in 0..newer.len() {
        assert!(Request::unpack(&newer[..end]).is_err());
    }
    assert!(Request::unpack(&[9]).is_err());
}

fn position(writer: &mut Writer, position: Position) {
    writer.u32(position.block_num);
    writer.checksum256(&position.block_id);
}

#[test]
fn a_status_has_the_chain_id_or_not() {
    let mut writer = Writer::new();
    writer.varuint32(0);
    position(&mut writer, at(9));
    position(&mut writer, at(7));
    [2, 10, 1, 10].into_iter().for_each(|number| writer.u32(number));
    let mut status = Status { head: at(9), last_irreversible: at(7), traces: (2, 10), deltas: (1, 10), chain_id: None };
    let read = |bytes: &[u8]| Results::read(bytes).map(|results| *results.response());
    assert_eq!(read(&writer.bytes).unwrap(), Response::Status(status));
    status.chain_id = Some(Checksum256::sha256(b"chain"));
    writer.checksum256(&Checksum256::sha256(b"chain"));
    assert_eq!(read(&writer.bytes).unwrap(), Response::Status(status));
    for end in [0, 1, 80, writer.bytes.len() - 1] {
        assert!(matches!(read(&writer.bytes[..end]), Err(Error::Truncated { .. })));
    }
}

#[test]
fn parts_of_a_block_come_one_after_the_other() {
    let mut writer = Writer::new();
    writer.varuint32(2);
    position(&mut writer, at(9));
    position(&mut writer, at(7));
    writer.option(Some(&at(8)), |w, it| position(w, *it));
    writer.option(None, |w, it| position(w, *it));
    let traces = vec![7; 700_000];
    for part in [Some(&b"block"[..]), Some(&traces), None, Some(b"")] {
        writer.option(part.as_ref(), |w, part| w.blob(part));
    }
    let mut results = Results::read(Cursor::new(&writer.bytes)).unwrap();
    let blocks = Response::Blocks { head: at(9), last_irreversible: at(7), this_block: Some(at(8)), prev_block: None };
    assert_eq!(*results.response(), blocks);
    let part = |results: &mut Results<_>| {
        let size = results.next_part().unwrap()?;
        let mut content = vec![];
        results.content(size).read_to_end(&mut content).unwrap();
        Some(content)
    };
    assert_eq!(part(&mut results), Some(b"block".to_vec()));
    assert!(part(&mut results) == Some(traces));
    assert_eq!(part(&mut results), None);
    assert_eq!(part(&mut results), Some(vec![]));
    assert_eq!(part(&mut results), None);

    let cut = &writer.bytes[..writer.bytes.len() - 5000];
    let mut results = Results::read(cut).unwrap();
    results.next_part().unwrap();
    results.content(5).read_to_end(&mut vec![]).unwrap();
    let size = results.next_part().unwrap().unwrap();
    assert!(results.content(size).read_to_end(&mut vec![]).is_err());
}

/// The definition of that name in a list of an ABI.
fn definition<'a>(abi: &'a mut Value, list: &str, name: &str) -> &'a mut Value {
    let mut list = abi[list].as_array_mut().unwrap().iter_mut();
    list.find(|definition| definition["name"] == name).unwrap()
}

#[test]
fn a_node_says_which_protocol_it_speaks() {
    let read = |abi: &Value| Protocol::from_abi(abi.to_string().as_bytes());
    let (leap, spring) = (Version::Leap4.abi(), Version::Spring1.abi());
    for (abi, has_finality_data) in [(&leap, false), (&spring, true)] {
        assert_eq!(read(abi).unwrap(), Protocol { has_finality_data, has_chain_id: true });
    }
    let mut other = leap.clone();
    definition(&mut other, "structs", "get_blocks_result_v0")["fields"][4]["name"] = "blocks".into();
    let message = read(&other).unwrap_err().to_string();
    assert!(message.contains("get_blocks_result_v0"), "{message}");
    other = leap.clone();
    definition(&mut other, "variants", "request")["types"][1] = "get_blocks_request_v7".into();
    assert!(read(&other).unwrap_err().to_string().contains("variant request"));
    other = leap;
    other["variants"].as_array_mut().unwrap().pop();
    assert!(read(&other).unwrap_err().to_string().contains("table_delta"));
    let add = |abi: &mut Value, name: &str, field: Value| {
        definition(abi, "structs", name)["fields"].as_array_mut().unwrap().push(field);
    };
    other = spring.clone();
    add(&mut other, "get_blocks_request_v1", json!({"name": "fetch_block_header", "type": "bool"}));
    assert!(read(&other).unwrap_err().to_string().contains("EOSIO 2.1"));
    other = spring.clone();
    let deltas = definition(&mut other, "variants", "table_delta");
    deltas["types"].as_array_mut().unwrap().push("table_delta_v1".into());
    assert!(read(&other).unwrap_err().to_string().contains("EOSIO 2.1"));
    // What has other fields under these names is not asked for.
    for name in ["get_blocks_request_v1", "get_blocks_result_v1"] {
        other = spring.clone();
        add(&mut other, name, json!({"name": "more", "type": "bool"}));
        assert!(!read(&other).unwrap().has_finality_data, "{name}");
    }
    for wrong in ["", "{}", "[]", "HTTP/1.1 200 OK", r#"{"structs":1}"#] {
        assert!(matches!(Protocol::from_abi(wrong.as_bytes()), Err(Error::Protocol { .. })), "{wrong}");
    }
}
