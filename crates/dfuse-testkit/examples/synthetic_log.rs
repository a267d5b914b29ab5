//! Writes a synthetic log to standard output: `synthetic_log [leap|spring|eosio20|eosio21|busy|signed] [BLOCKS] [SEED]`.

use std::io::{self, BufWriter, Write};

use dfuse_testkit::synthetic::{Software, SyntheticChain};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let mut number = |or: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (blocks, seed) = (number(100), number(0));
    let software = match kind.as_str() {
        "spring" => Software::Spring { savanna_from: 30 },
        "eosio20" => Software::Eosio20,
        "eosio21" => Software::Eosio21,
        _ => Software::Leap,
    };
    let builder = SyntheticChain::builder().seed(seed).blocks(blocks as u32).software(software);
    let builder = match kind.as_str() {
        "busy" => builder.busy(),
        "signed" => builder.busy().signed(true),
        _ => builder.random_forks(20, 3),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    builder.build().write_log(&mut out)?;
    out.flush()
}
