//! The source that was asked for.

use std::sync::{Arc, atomic::AtomicU32};

use dfuse_antelope::{Checksum256, Genesis};
use dfuse_blocks::BlockStore;
use dfuse_node::{KeptState, Source, SourceOptions, SourceSpec};

use super::{roles::Roles, settings::Settings};
use crate::{
    failure::{one_line, usage},
    input,
};

/// Number of the last block of the demo's first three quarters, which come at once.
pub(crate) const DEMO_AT_ONCE: u32 = 3032;

/// Where blocks come from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// The recorded chain that comes with the program.
    Demo,
    /// Nodes that this process supervises.
    Nodeos,
    /// Machines that take blocks, and the store that they write.
    Machines,
    /// Somewhere else.
    Spec(SourceSpec),
}

/// What is there of the chain when the source begins.
#[derive(Debug)]
pub(crate) struct Known {
    /// The first block that is not there for good.
    pub(crate) start_block: u32,
    /// Whether there is no block.
    pub(crate) is_empty: bool,
    pub(crate) chain_id: Option<Checksum256>,
    /// Blocks of the ABI dumps.
    pub(crate) dumps: Vec<u32>,
    /// Where a source of state history keeps what it compares blocks with.
    pub(crate) state: KeptState,
    /// The block whose state was loaded, if history begins after one.
    pub(crate) loaded: Option<u32>,
    /// The last block that is there for good, as it goes up.
    pub(crate) durable: Arc<AtomicU32>,
    /// The block store.
    pub(crate) store: BlockStore,
}

impl Origin {
    /// That of a process with those roles.
    pub(crate) fn of(settings: &Settings, roles: Roles) -> anyhow::Result<Self> {
        if roles.ingest { Self::parse(&settings.source) } else { Ok(Self::Machines) }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        match text {
            "demo" => Ok(Self::Demo),
            "nodeos" => Ok(Self::Nodeos),
            _ => text.parse().map(Self::Spec).map_err(|error: dfuse_node::Error| usage(error.to_string())),
        }
    }

    /// The log that has the blocks, as a tool takes it.
    pub(crate) fn log(&self) -> Option<String> {
        match self {
            Self::Demo => Some("demo".to_owned()),
            Self::Spec(SourceSpec::Log(path)) => Some(path.display().to_string()),
            Self::Nodeos | Self::Machines | Self::Spec(_) => None,
        }
    }

    /// Whether the source compares blocks with rows that it keeps.
    pub(crate) fn keeps_rows(&self) -> bool {
        matches!(self, Self::Spec(SourceSpec::History(_) | SourceSpec::HistoryLogs(_)))
    }

    /// Whether the source can begin again and repeat what a kill has lost; a supervised node is taken back for that.
    pub(crate) fn repeats(&self) -> bool {
        !matches!(self, Self::Spec(SourceSpec::StandardInput))
    }

    /// Begins to read what is not `known`. Supervised nodes have their source from the start. What others go on writing or sending is
    /// followed unless it is to be read to its end only.
    pub(crate) fn open(&self, settings: &Settings, known: Known) -> anyhow::Result<Source> {
        match self {
            Self::Demo => Ok(Source::of_log(input::DEMO)?),
            Self::Nodeos => anyhow::bail!("the logs of supervised nodes are read by their supervision"),
            Self::Machines => {
                let options = SourceOptions {
                    // The last block that is there shows whether the next one follows it.
                    start_block: known.start_block.saturating_sub(1),
                    follow: !settings.exit_at_end,
                    firehose: settings.machines.options(settings.firehose.options()?),
                    chain_id: known.chain_id,
                    is_empty: known.is_empty,
                    known_dumps: known.dumps,
                    ..SourceOptions::default()
                };
                let place = settings.blocks.store.clone().unwrap_or_default();
                Ok(Source::live(place, known.store, settings.machines.endpoints()?, options))
            }
            Self::Spec(spec) => {
                let Known { start_block, is_empty, chain_id, dumps: known_dumps, state, loaded, durable, .. } = known;
                let options = SourceOptions {
                    start_block,
                    follow: !settings.exit_at_end,
                    queue_bytes: settings.nodeos.queue_mib << 20,
                    max_line_bytes: settings.nodeos.max_line_mib << 20,
                    firehose: settings.firehose.options()?,
                    chain_id,
                    is_empty,
                    known_dumps,
                    state: Some(state),
                    loaded,
                    durable,
                    store: input::store_options(false),
                    ..SourceOptions::default()
                };
                Source::open(spec, options).map_err(|error| usage(one_line(&error.into())))
            }
        }
    }

    /// The chain's id, as far as it is configured.
    pub(crate) fn chain_id(&self, settings: &Settings) -> anyhow::Result<Option<Checksum256>> {
        let of_genesis = |json: &[u8]| Genesis::from_json(json).and_then(|genesis| genesis.chain_id());
        let configured = settings.chain_id.as_ref().map(|text| {
            text.parse::<Checksum256>().map_err(|error| usage(format!("the chain id \"{text}\" is none: {error}")))
        });
        let read = settings.genesis.as_ref().map(|file| {
            let wrong = |error: &dyn std::fmt::Display| usage(format!("genesis file {}: {error}", file.display()));
            let json = std::fs::read(file).map_err(|error| wrong(&error))?;
            of_genesis(&json).map_err(|error| wrong(&error))
        });
        let demo = matches!(self, Self::Demo).then(|| of_genesis(input::DEMO_GENESIS).map_err(anyhow::Error::from));
        let known = [configured, read, demo].into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
        match known[..] {
            [first, .., other] | [first, other] if first != other => {
                Err(usage(format!("the configured chain ids differ: {first} and {other}")))
            }
            [first, ..] => Ok(Some(first)),
            [] => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use dfuse_deep_mind::{Event, Reader};
    use dfuse_node::decompressed;

    use super::*;

    #[test]
    fn three_quarters_of_the_demo_come_at_once() {
        let mut reader = Reader::new(decompressed(input::DEMO).unwrap());
        let (mut first, mut last) = (None, 0);
        while let Some(event) = reader.next_event().unwrap() {
            if let Event::Block(block) = event {
                first.get_or_insert(block.number);
                last = block.number;
            }
        }
        let first = first.unwrap();
        assert_eq!(DEMO_AT_ONCE, first - 1 + (last - first + 1) * 3 / 4);
    }

    #[test]
    fn chain_ids_must_agree() {
        let id = Origin::Demo.chain_id(&Settings::default()).unwrap().unwrap();
        let with = |chain_id: String| Settings { chain_id: Some(chain_id), ..Settings::default() };
        assert_eq!(Origin::Demo.chain_id(&with(id.to_string())).unwrap(), Some(id));
        let other = Origin::Demo.chain_id(&with("00".repeat(32))).unwrap_err().to_string();
        assert!(other.contains("differ"), "{other}");
        assert!(Origin::Demo.chain_id(&with("xyz".into())).unwrap_err().to_string().contains("\"xyz\" is none"));
    }
}
