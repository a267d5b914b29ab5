//! Nodes that serve state history as a source: a scripted one, made of recorded logs.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    io::{self, Cursor, Read},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use bytes::Bytes;
use dfuse_antelope::{Checksum256, model::Block, raw::Writer};
use dfuse_node::{Error, Source, SourceEvent, SourceOptions, SourceSpec};
use dfuse_ship::{BlockLog, BlocksRequest, HistoryLog, Position, Request};
use dfuse_testkit::recorded;
use serde_json::{Value, json};
use tungstenite::{
    Message, WebSocket,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

/// A block as a node sends it.
#[derive(Clone)]
struct Sent {
    id: Checksum256,
    block: Option<Bytes>,
    traces: Option<Bytes>,
    deltas: Option<Bytes>,
}

fn entries(name: &str) -> Option<HashMap<Checksum256, Bytes>> {
    let file = recorded::tar_member("small/ship-and-blocks.tar.zst", &format!("state-history/{name}_history.log"))?;
    let mut log = HistoryLog::open(Cursor::new(file)).unwrap();
    let mut all = HashMap::new();
    while let Some(entry) = log.next_entry().unwrap() {
        let mut content = vec![];
        log.content(&entry).unwrap().read_to_end(&mut content).unwrap();
        all.insert(entry.block_id, content.into());
    }
    Some(all)
}

fn chain() -> Option<Vec<Sent>> {
    let (traces, deltas) = (entries("trace")?, entries("chain_state")?);
    let file = recorded::tar_member("small/ship-and-blocks.tar.zst", "blocks/blocks.log")?;
    let mut log = BlockLog::open(Cursor::new(file)).unwrap();
    let mut chain = vec![];
    while let Some(logged) = log.next_block().unwrap() {
        let id = logged.id;
        let (traces, deltas) = (traces.get(&id).cloned(), deltas.get(&id).cloned());
        chain.push(Sent { id, block: Some(logged.block), traces, deltas });
    }
    Some(chain)
}

fn abi() -> Value {
    let definition = |name: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
        json!({"name": name, "fields": fields})
    };
    let variant = |name: &str, types: &[&str]| json!({"name": name, "types": types});
    let request = [
        ("start_block_num", "uint32"),
        ("end_block_num", "uint32"),
        ("max_messages_in_flight", "uint32"),
        ("have_positions", "block_position[]"),
        ("irreversible_only", "bool"),
        ("fetch_block", "bool"),
        ("fetch_traces", "bool"),
        ("fetch_deltas", "bool"),
    ];
    let result = [
        ("head", "block_position"),
        ("last_irreversible", "block_position"),
        ("this_block", "block_position?"),
        ("prev_block", "block_position?"),
        ("block", "bytes?"),
        ("traces", "bytes?"),
        ("deltas", "bytes?"),
    ];
    json!({
        "version": "eosio::abi/1.1",
        "structs": [
            definition("block_position", &[("block_num", "uint32"), ("block_id", "checksum256")]),
            definition("get_status_request_v0", &[]),
            definition("get_blocks_request_v0", &request),
            definition("get_blocks_ack_request_v0", &[("num_messages", "uint32")]),
            definition("get_status_result_v0", &[("chain_id", "checksum256")]),
            definition("get_blocks_result_v0", &result),
            definition("table_delta_v0", &[("name", "string"), ("rows", "row[]")]),
        ],
        "variants": [
            variant("request", &["get_status_request_v0", "get_blocks_request_v0", "get_blocks_ack_request_v0"]),
            variant("result", &["get_status_result_v0", "get_blocks_result_v0"]),
            variant("transaction_trace", &["transaction_trace_v0"]),
            variant("action_trace", &["action_trace_v0", "action_trace_v1"]),
            variant("partial_transaction", &["partial_transaction_v0"]),
            variant("table_delta", &["table_delta_v0"]),
        ],
    })
}

/// What a scripted node does.
#[derive(Clone)]
struct Script {
    abi: Value,
    chain_id: Checksum256,
    blocks: Vec<Sent>,
    /// First block with traces that its status tells.
    begin: u32,
    /// Ends the connection after so many results of it, for each connection in turn.
    cuts: Vec<usize>,
}

impl Script {
    fn new(blocks: Vec<Sent>) -> Self {
        Self { abi: abi(), chain_id: Checksum256::sha256(b"chain"), blocks, begin: 2, cuts: vec![] }
    }

    /// Serves until the test ends. What comes back is the address, and the requests for blocks.
    fn serve(self) -> (String, mpsc::Receiver<BlocksRequest>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("ship:{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for (at, stream) in listener.incoming().enumerate() {
                let cut = self.cuts.get(at).copied();
                let _ = self.connection(stream.unwrap(), cut, &sender);
            }
        });
        (address, requests)
    }

    fn connection(
        &self,
        stream: TcpStream,
        mut cut: Option<usize>,
        requests: &mpsc::Sender<BlocksRequest>,
    ) -> Result<(), tungstenite::Error> {
        let mut socket = tungstenite::accept(stream).unwrap();
        socket.send(Message::text(self.abi.to_string()))?;
        let mut wanted: Option<(usize, u32)> = None;
        loop {
            while let Some((next, credit)) =
                wanted.as_mut().filter(|(next, credit)| *credit > 0 && *next < self.blocks.len())
            {
                if cut == Some(0) {
                    // All that was sent arrives before the end does.
                    socket.get_mut().shutdown(Shutdown::Write)?;
                    io::copy(socket.get_mut(), &mut io::sink())?;
                    return Ok(());
                }
                cut = cut.map(|left| left - 1);
                let result = self.result(*next);
                send_in_pieces(&mut socket, &result)?;
                (*next, *credit) = (*next + 1, *credit - 1);
            }
            let Message::Binary(message) = socket.read()? else { continue };
            match Request::unpack(&message).unwrap() {
                Request::Status => socket.send(Message::binary(self.status()))?,
                Request::Ack(count) => wanted.iter_mut().for_each(|(_, credit)| *credit += count),
                Request::Blocks(request) => {
                    // As a node does: from the lowest position that is not its own.
                    let own = |at: &&Position| self.blocks.iter().any(|block| block.id == at.block_id);
                    let other = request.have_positions.iter().find(|at| !own(at)).map(|at| at.block_num);
                    let start = other.unwrap_or(u32::MAX).min(request.start_block_num);
                    let next = self.blocks.iter().position(|block| block.id.block_num() >= start);
                    wanted = Some((next.unwrap_or(self.blocks.len()), request.max_messages_in_flight));
                    let _ = requests.send(request);
                }
            }
        }
    }

    fn status(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varuint32(0);
        let head = self.blocks.last().unwrap().id;
        for _ in 0..2 {
            writer.u32(head.block_num());
            writer.checksum256(&head);
        }
        let end = head.block_num() + 1;
        [self.begin, end, self.begin - 1, end].into_iter().for_each(|number| writer.u32(number));
        writer.checksum256(&self.chain_id);
        writer.bytes
    }

    fn result(&self, at: usize) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.varuint32(1);
        let head = self.blocks.last().unwrap().id;
        let position = |writer: &mut Writer, id: &Checksum256| {
            writer.u32(id.block_num());
            writer.checksum256(id);
        };
        position(&mut writer, &head);
        position(&mut writer, &head);
        let sent = &self.blocks[at];
        writer.option(Some(&sent.id), position);
        writer.option(at.checked_sub(1).map(|at| &self.blocks[at].id), position);
        for part in [&sent.block, &sent.traces, &sent.deltas] {
            writer.option(part.as_ref(), |writer, part| writer.blob(part));
        }
        writer.bytes
    }
}

/// As Leap does: a message of several frames.
fn send_in_pieces(socket: &mut WebSocket<TcpStream>, message: &[u8]) -> Result<(), tungstenite::Error> {
    let pieces: Vec<_> = message.chunks(1000).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let kind = if at == 0 { Data::Binary } else { Data::Continue };
        let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), at + 1 == pieces.len());
        socket.send(Message::Frame(frame))?;
    }
    Ok(())
}

fn options() -> SourceOptions {
    SourceOptions { poll: Duration::from_millis(1), ..SourceOptions::default() }
}

async fn next(source: &mut Source) -> Result<Arc<Block>, Error> {
    loop {
        match source.next().await?.unwrap() {
            SourceEvent::Block { block, .. } => return Ok(block.unwrap()),
            SourceEvent::AbiDump(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn take(source: &mut Source, count: usize) -> Vec<Arc<Block>> {
    let mut blocks = vec![];
    for _ in 0..count {
        blocks.push(next(source).await.unwrap());
    }
    blocks
}

/// What the source of logs on disk makes of the same blocks.
async fn of_logs() -> Vec<Arc<Block>> {
    let folder = tempfile::tempdir().unwrap();
    for member in recorded::tar("small/ship-and-blocks.tar.zst").unwrap() {
        let path = folder.path().join(member.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, member.content).unwrap();
    }
    let spec: SourceSpec = format!("ship-log:{}", folder.path().display()).parse().unwrap();
    let mut source = Source::open(&spec, options()).unwrap();
    let mut blocks = vec![];
    while let Some(event) = source.next().await.unwrap() {
        if let SourceEvent::Block { block, .. } = event {
            blocks.push(block.unwrap());
        }
    }
    blocks
}

#[tokio::test]
async fn a_node_gives_the_blocks_of_its_logs_across_lost_connections() {
    let Some(chain) = chain() else { return };
    let expected = of_logs().await;
    let mut script = Script::new(chain.clone());
    script.cuts = vec![0, 1, 7, 120, 33];
    let (address, requests) = script.serve();
    let mut source = Source::open(&address.parse().unwrap(), options()).unwrap();
    assert!(take(&mut source, expected.len()).await == expected);
    let requests: Vec<_> = requests.try_iter().collect();
    assert_eq!(requests.len(), 6);
    // Each goes on where the one before it ended, and says what it has since the LIB.
    assert_eq!(requests.iter().map(|it| it.start_block_num).collect::<Vec<_>>(), [1, 1, 2, 9, 129, 162]);
    let positions = &requests[5].have_positions;
    assert!(positions.iter().all(|at| at.block_id == chain[at.block_num as usize - 1].id));
    assert_eq!(positions.last().unwrap().block_num, 161);
}

#[tokio::test]
async fn another_node_takes_over_and_old_blocks_are_passed_over() {
    let Some(chain) = chain() else { return };
    let expected = of_logs().await;
    let (first, _requests) = Script::new(chain[..200].to_vec()).serve();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("ship:{closed},{}", first.strip_prefix("ship:").unwrap());
    let mut source = Source::open(&address.parse().unwrap(), SourceOptions { start_block: 150, ..options() }).unwrap();
    assert!(take(&mut source, 51).await == expected[148..199]);
}

#[tokio::test]
async fn what_cannot_be_used_is_told() {
    let Some(chain) = chain() else { return };
    let fails = async |script: Script, options: SourceOptions, wanted: &str| {
        let (address, _requests) = script.serve();
        let mut source = Source::open(&address.parse().unwrap(), options).unwrap();
        let message = next(&mut source).await.unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    };
    let other = SourceOptions { chain_id: Some(Checksum256::sha256(b"another")), ..options() };
    fails(Script::new(chain.clone()), other, "is of chain").await;
    fails(
        Script { begin: 170, ..Script::new(chain.clone()) },
        options(),
        "traces from block 170 on, and block 1 is wanted",
    )
    .await;
    let mut eosio = abi();
    eosio["variants"][5]["types"] = json!(["table_delta_v0", "table_delta_v1"]);
    fails(Script { abi: eosio, ..Script::new(chain.clone()) }, options(), "EOSIO 2.1").await;
    let mut replayed = chain;
    replayed[0].deltas = None;
    fails(Script::new(replayed), options(), "has no state of the first block").await;
}
