use dfuse_antelope::model::{Block, wire::ReverseWriter};
use dfuse_blocks::EncodedBlock;
use dfuse_deep_mind::{Event, Reader};

/// Longest line: short enough for inputs to pass it.
const MAX_LINE: usize = 64 * 1024;

/// A deep-mind log: it is read to its end or to an error, and every block in it can be stored as it is.
pub fn log_reader(data: &[u8]) {
    let mut reader = Reader::with_max_line(data, MAX_LINE);
    let mut writer = ReverseWriter::new();
    while let Ok(Some(event)) = reader.next_event() {
        if let Event::Block(block) = event {
            store(&block, &mut writer);
        }
    }
}

/// The same. The target of this name changes the fields of logs rather than their bytes.
pub fn log_lines(data: &[u8]) {
    log_reader(data);
}

fn store(block: &Block, writer: &mut ReverseWriter) {
    let encoded = EncodedBlock::encode(block, writer).expect("a block of a log has an envelope");
    assert_eq!(&encoded.decode().expect("what was encoded is decoded"), block);
    serde_json::to_writer(std::io::sink(), block).expect("every block has a JSON form");
}
