//! A scripted node with the state-history plugin, made of recorded logs.
#![allow(dead_code, reason = "not every test uses all of it")]

mod versions;

use std::{
    collections::HashMap,
    fs,
    io::{self, Cursor, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use dfuse_antelope::{
    Checksum256,
    chain::SignedBlock,
    raw::{Reader, Writer},
};
use dfuse_deep_mind::Event;
use dfuse_ship::{BlockLog, BlocksRequest, HistoryLog, Position, Request};
use dfuse_testkit::recorded;
pub(crate) use dfuse_testkit::ship::Version;
use serde_json::Value;
use tungstenite::{
    Message, WebSocket,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

/// A block as a node sends it.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) id: Checksum256,
    pub(crate) block: Option<Bytes>,
    pub(crate) traces: Option<Bytes>,
    pub(crate) deltas: Option<Bytes>,
}

fn entries(chain: &str, name: &str) -> Option<HashMap<Checksum256, Bytes>> {
    let file = recorded::tar_member(
        &format!("{chain}/ship-and-blocks.tar.zst"),
        &format!("state-history/{name}_history.log"),
    )?;
    let mut log = HistoryLog::open(Cursor::new(file)).unwrap();
    let mut all = HashMap::new();
    while let Some(entry) = log.next_entry().unwrap() {
        let mut content = vec![];
        log.content(&entry).unwrap().read_to_end(&mut content).unwrap();
        all.insert(entry.block_id, content.into());
    }
    Some(all)
}

/// The blocks of a recorded chain, as far as its node had them in its block log.
pub(crate) fn chain(chain: &str) -> Option<Vec<Sent>> {
    let (traces, deltas) = (entries(chain, "trace")?, entries(chain, "chain_state")?);
    let file = recorded::tar_member(&format!("{chain}/ship-and-blocks.tar.zst"), "blocks/blocks.log")?;
    let mut log = BlockLog::open(Cursor::new(file)).unwrap();
    let mut chain = vec![];
    while let Some(logged) = log.next_block().unwrap() {
        let id = logged.id;
        let (traces, deltas) = (traces.get(&id).cloned(), deltas.get(&id).cloned());
        chain.push(Sent { id, block: Some(logged.block), traces, deltas });
    }
    Some(chain)
}

/// The id of a recorded chain.
pub(crate) fn chain_id(chain: &str) -> Option<Checksum256> {
    let file = recorded::tar_member(&format!("{chain}/ship-and-blocks.tar.zst"), "blocks/blocks.log")?;
    Some(BlockLog::open(Cursor::new(file)).unwrap().chain_id())
}

/// The blocks of a recorded chain up to its head: those that are not in the block log, since they are not final, are packed as deep
/// mind of the same node tells them.
pub(crate) fn whole_chain(name: &str) -> Option<Vec<Sent>> {
    let (mut chain, traces, deltas) = (chain(name)?, entries(name, "trace")?, entries(name, "chain_state")?);
    let last = chain.last().unwrap().id.block_num();
    let mut log = dfuse_deep_mind::Reader::new(recorded::open(&format!("{name}/{name}.dmlog.zst"))?);
    while let Some(event) = log.next_event().unwrap() {
        let Event::Block(block) = event else { continue };
        if block.number <= last || !deltas.contains_key(&block.id) {
            continue;
        }
        let mut writer = Writer::new();
        let signed = SignedBlock {
            header: block.header,
            producer_signature: block.producer_signature,
            transactions: block.unfiltered_transactions,
            block_extensions: block.block_extensions,
        };
        signed.pack(&mut writer).unwrap();
        let (id, traces, deltas) = (block.id, traces.get(&block.id).cloned(), deltas.get(&block.id).cloned());
        chain.push(Sent { id, block: Some(writer.bytes.into()), traces, deltas });
    }
    Some(chain)
}

/// What a node has that began with the state after a block: that state as the deltas of the block, and the blocks after it.
pub(crate) fn mid_chain(chain: &[Sent], number: u32) -> Vec<Sent> {
    let begin = chain.iter().position(|sent| sent.id.block_num() == number).unwrap();
    let deltas = full_state(chain[..=begin].iter().filter_map(|sent| sent.deltas.as_ref()));
    let first = Sent { id: chain[begin].id, block: None, traces: None, deltas: Some(deltas) };
    [first].into_iter().chain(chain[begin + 1..].iter().cloned()).collect()
}

/// Tables in the order of nodes, and bytes of a row, its variant among them, that are its key.
const TABLES: [(&str, usize); 19] = [
    ("account", 9),
    ("account_metadata", 9),
    ("code", 35),
    ("contract_table", 25),
    ("contract_row", 33),
    ("contract_index64", 33),
    ("contract_index128", 33),
    ("contract_index256", 33),
    ("contract_index_double", 33),
    ("contract_index_long_double", 33),
    ("global_property", 0),
    ("generated_transaction", 25),
    ("protocol_state", 0),
    ("permission", 17),
    ("permission_link", 25),
    ("resource_limits", 9),
    ("resource_usage", 9),
    ("resource_limits_state", 0),
    ("resource_limits_config", 0),
];

/// The state that deltas lead to, as deltas.
pub(crate) fn full_state<'a>(all: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut rows: HashMap<(String, Vec<u8>), Vec<u8>> = HashMap::new();
    for deltas in all {
        let mut reader = Reader::new(deltas);
        for _ in 0..reader.varuint32().unwrap() {
            assert_eq!(reader.varuint32().unwrap(), 0);
            let table = reader.string("table").unwrap();
            let (_, key_bytes) = TABLES.iter().find(|(name, _)| *name == table).unwrap();
            for _ in 0..reader.varuint32().unwrap() {
                let present = reader.bool().unwrap();
                let row = reader.blob("row").unwrap();
                let key = (table.clone(), row[..*key_bytes].to_vec());
                match present {
                    true => drop(rows.insert(key, row.to_vec())),
                    false => drop(rows.remove(&key)),
                }
            }
        }
    }
    let mut writer = Writer::new();
    writer.count(TABLES.len());
    for (table, _) in TABLES {
        let of_table: Vec<_> = rows.iter().filter(|((name, _), _)| name == table).map(|(_, row)| row).collect();
        writer.varuint32(0);
        writer.blob(table.as_bytes());
        writer.list(&of_table, |w, row| {
            w.bool(true);
            w.blob(row);
        });
    }
    writer.bytes.into()
}

/// Writes the logs of a node that has these blocks, and did not begin with the chain: a block log of version 3.
pub(crate) fn write_logs(folder: &Path, chain: &[Sent], chain_id: Checksum256) {
    let (history, blocks) = (folder.join("state-history"), folder.join("blocks"));
    [&history, &blocks].into_iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
    let (mut log, mut index) = (Writer::new(), Writer::new());
    let first = chain.iter().find(|sent| sent.block.is_some()).unwrap();
    log.u32(3);
    log.u32(first.id.block_num());
    log.checksum256(&chain_id);
    log.u64(u64::MAX);
    for block in chain.iter().filter_map(|sent| sent.block.as_ref()) {
        let place = log.bytes.len() as u64;
        log.take(block);
        log.u64(place);
        index.u64(place);
    }
    fs::write(blocks.join("blocks.log"), log.bytes).unwrap();
    fs::write(blocks.join("blocks.index"), index.bytes).unwrap();
    let traces = chain.iter().filter_map(|sent| Some((sent.id, sent.traces.as_ref()?))).collect::<Vec<_>>();
    let deltas = chain.iter().filter_map(|sent| Some((sent.id, sent.deltas.as_ref()?))).collect();
    for (name, entries) in [("trace_history.log", traces), ("chain_state_history.log", deltas)] {
        let mut log = Writer::new();
        for (id, content) in entries {
            let place = log.bytes.len() as u64;
            let mut packed = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
            packed.write_all(content).unwrap();
            let packed = packed.finish().unwrap();
            log.u64(0xc35d_5000 << 32);
            log.checksum256(&id);
            log.u64(packed.len() as u64 + 12);
            log.u32(1);
            log.u64(content.len() as u64);
            log.take(&packed);
            log.u64(place);
        }
        fs::write(history.join(name), log.bytes).unwrap();
    }
}

/// What a scripted node does.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) version: Version,
    pub(crate) abi: Value,
    pub(crate) chain_id: Checksum256,
    pub(crate) blocks: Vec<Sent>,
    /// First block with traces that its status tells.
    pub(crate) begin: u32,
    /// Ends the connection after so many results of it, for each connection in turn.
    pub(crate) cuts: Vec<usize>,
}

impl Script {
    /// A node of Leap 4 or 5.
    pub(crate) fn new(blocks: Vec<Sent>) -> Self {
        let (version, chain_id) = (Version::Leap4, Checksum256::sha256(b"chain"));
        Self { version, abi: version.abi(), chain_id, blocks, begin: 2, cuts: vec![] }
    }

    /// A node of other software that has the same blocks.
    pub(crate) fn of(version: Version, blocks: &[Sent]) -> Self {
        let blocks = blocks.iter().map(|block| versions::block(version, block)).collect();
        Self { version, abi: version.abi(), ..Self::new(blocks) }
    }

    /// Serves until the test ends. What comes back is the address, and the requests for blocks.
    pub(crate) fn serve(self) -> (String, mpsc::Receiver<BlocksRequest>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("ship:{}", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        let script = Arc::new(self);
        thread::spawn(move || {
            for (at, stream) in listener.incoming().enumerate() {
                let (script, sender) = (script.clone(), sender.clone());
                let cut = script.cuts.get(at).copied();
                thread::spawn(move || {
                    // A client may leave at any time.
                    let _ = script.connection(stream.unwrap(), cut, &sender);
                });
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
        let mut wanted: Option<(usize, BlocksRequest)> = None;
        loop {
            while let Some((next, request)) = wanted
                .as_mut()
                .filter(|(next, request)| request.max_messages_in_flight > 0 && *next < self.blocks.len())
            {
                if cut == Some(0) {
                    // All that was sent arrives before the end does.
                    socket.get_mut().shutdown(Shutdown::Write)?;
                    io::copy(socket.get_mut(), &mut io::sink())?;
                    return Ok(());
                }
                cut = cut.map(|left| left - 1);
                let result = self.result(*next, request);
                self.send(&mut socket, result)?;
                (*next, request.max_messages_in_flight) = (*next + 1, request.max_messages_in_flight - 1);
            }
            let Message::Binary(message) = socket.read()? else { continue };
            match Request::unpack(&message).unwrap() {
                Request::Status => socket.send(Message::binary(self.status()))?,
                Request::Ack(count) => {
                    wanted.iter_mut().for_each(|(_, request)| request.max_messages_in_flight += count);
                }
                Request::Blocks(request) => {
                    // As a node does: from the lowest position that is not its own.
                    let own = |at: &&Position| self.blocks.iter().any(|block| block.id == at.block_id);
                    let other = request.have_positions.iter().find(|at| !own(at)).map(|at| at.block_num);
                    let start = other.unwrap_or(u32::MAX).min(request.start_block_num);
                    let next = self.blocks.iter().position(|block| block.id.block_num() >= start);
                    wanted = Some((next.unwrap_or(self.blocks.len()), request.clone()));
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
        // A node that has just been started has no block in its logs.
        let kept = match head.block_num() {
            1 => [0; 4],
            head => [self.begin, head + 1, self.begin - 1, head + 1],
        };
        kept.into_iter().for_each(|number| writer.u32(number));
        if !self.version.is_eosio() {
            writer.checksum256(&self.chain_id);
        }
        writer.bytes
    }

    fn result(&self, at: usize, request: &BlocksRequest) -> Vec<u8> {
        let mut writer = Writer::new();
        // A request of version 1, which only Spring knows, is answered by a result of that version.
        let is_newer = request.fetch_finality_data.is_some();
        assert!(!is_newer || self.version == Version::Spring1, "{:?} closes the connection", self.version);
        writer.varuint32(if is_newer { 2 } else { 1 });
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
        let BlocksRequest { fetch_block, fetch_traces, fetch_deltas, .. } = *request;
        for (part, is_wanted) in
            [(&sent.block, fetch_block), (&sent.traces, fetch_traces), (&sent.deltas, fetch_deltas)]
        {
            writer.option(part.as_ref().filter(|_| is_wanted), |writer, part| writer.blob(part));
        }
        if is_newer {
            // The blocks are of legacy consensus.
            writer.bool(false);
        }
        writer.bytes
    }

    /// Leap 4 and later send a message in several frames, of which Spring's last one is empty; others in one.
    fn send(&self, socket: &mut WebSocket<TcpStream>, message: Vec<u8>) -> Result<(), tungstenite::Error> {
        let mut pieces: Vec<_> = match self.version {
            Version::Leap4 | Version::Spring1 => message.chunks(1000).collect(),
            _ => return socket.send(Message::binary(message)),
        };
        if self.version == Version::Spring1 {
            pieces.push(&[]);
        }
        for (at, piece) in pieces.iter().enumerate() {
            let kind = if at == 0 { Data::Binary } else { Data::Continue };
            let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), at + 1 == pieces.len());
            socket.send(Message::Frame(frame))?;
        }
        Ok(())
    }
}
