//! Which filter the blocks of a data directory went through. Blocks that are stored stay as they are, so the filter can change for
//! later ones only.

use std::{collections::BTreeSet, path::Path};

use dfuse_antelope::model::Block;
use dfuse_blocks::feed::FeedHandle;
use dfuse_search::Filter;
use serde::{Deserialize, Serialize};

use crate::{failure::usage, small_file};

/// The file that says so.
const FILE: &str = "filter.json";
/// The settings, in the order of their texts.
const NAMES: [&str; 3] = ["include", "exclude", "system"];

/// Include, exclude and system.
type Texts = [String; 3];

/// Programs from a block on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct From {
    from_block: u32,
    programs: Texts,
}

/// Refuses a filter that says something else of blocks that are there than the one that they went through, and remembers it.
///
/// # Errors
/// What differs, and how the filter can change from the next block on.
pub(super) async fn check(data_dir: &Path, filter: &Filter, feed: &FeedHandle) -> anyhow::Result<()> {
    let (wanted, known) = (listed(filter), read(data_dir)?);
    let head = feed.head();
    let known = match (known, head) {
        (Some(known), _) => known,
        // A store that was restored, or that machines share, shows it.
        (None, Some(head)) if !filter.passes_all() => {
            let block = feed.block(head).await?.block().await?;
            if went_through(&block, at(&wanted, head.number)) { wanted.clone() } else { vec![] }
        }
        (None, _) => vec![],
    };
    if let Some(head) = head {
        must_agree(&known, &wanted, feed.first_block().unwrap_or(0), head.number)?;
    }
    if wanted != known {
        write(data_dir, &wanted)?;
    }
    Ok(())
}

/// What a filter says, in one form whatever its texts look like: for machines that must filter alike.
pub(super) fn described(filter: &Filter) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&listed(filter))?)
}

/// What a filter says, from each block on at which that changes; nothing if it passes everything.
fn listed(filter: &Filter) -> Vec<From> {
    let all = filter
        .boundaries()
        .into_iter()
        .map(|from_block| From { from_block, programs: filter.texts_at(from_block).map(str::to_owned) });
    let mut list: Vec<From> = vec![];
    for next in all {
        if *at(&list, next.from_block) != next.programs {
            list.push(next);
        }
    }
    list
}

static NO_FILTER: Texts = [String::new(), String::new(), String::new()];

fn at(list: &[From], block: u32) -> &Texts {
    list.iter().rev().find(|it| it.from_block <= block).map_or(&NO_FILTER, |it| &it.programs)
}

/// Whether the block says that these programs were applied to it.
fn went_through(block: &Block, [include, exclude, _]: &Texts) -> bool {
    let has = |list: &str, text: &str| text.is_empty() || list.split(";;;").any(|known| known == text);
    has(&block.filtering_include_filter_expr, include) && has(&block.filtering_exclude_filter_expr, exclude)
}

fn must_agree(known: &[From], wanted: &[From], first: u32, head: u32) -> anyhow::Result<()> {
    let points = known.iter().chain(wanted).map(|it| it.from_block.max(first)).chain([first]);
    let points: BTreeSet<u32> = points.filter(|point| *point <= head).collect();
    let Some(point) = points.into_iter().find(|point| at(known, *point) != at(wanted, *point)) else { return Ok(()) };
    let (was, is) = (at(known, point), at(wanted, point));
    let differs = |place: &usize| was[*place] != is[*place];
    let said = |texts: &Texts, place: usize| match &*texts[place] {
        "" => format!("no filter.{}", NAMES[place]),
        text => format!("filter.{} \"{text}\"", NAMES[place]),
    };
    let places: Vec<usize> = (0..NAMES.len()).filter(differs).collect();
    let [was, is] = [was, is].map(|texts| places.iter().map(|it| said(texts, *it)).collect::<Vec<_>>().join(" and "));
    let settings = (0..NAMES.len()).filter_map(|place| continued(known, wanted, head, place));
    let settings = settings.collect::<Vec<_>>().join(" and ");
    Err(usage(format!(
        "blocks of this data directory, from block {point} on, were written with {was}, but the configuration has {is}: blocks that are \
         stored stay as they are. To change the filter from the next block on, set {settings}; to filter all blocks alike, begin with \
         an empty data directory"
    )))
}

/// A setting that says the same of blocks up to the head, and what is wanted of later ones.
fn continued(known: &[From], wanted: &[From], head: u32, place: usize) -> Option<String> {
    let next = head.saturating_add(1);
    let mut pieces: Vec<(u32, &str)> = vec![(0, "")];
    let before = known.iter().filter(|it| it.from_block <= head).map(|it| (it.from_block, &*it.programs[place]));
    let now = [(next, &*at(wanted, next)[place])];
    let later = wanted.iter().filter(|it| it.from_block > next).map(|it| (it.from_block, &*it.programs[place]));
    for (from, text) in before.chain(now).chain(later) {
        match pieces.last_mut() {
            Some((last, known)) if *last == from => *known = text,
            Some((_, known)) if *known == text => {}
            _ => pieces.push((from, text)),
        }
    }
    let piece = |(from, text): &(u32, &str)| if *from == 0 { (*text).to_owned() } else { format!("#{from};{text}") };
    let setting = format!("filter.{} = {:?}", NAMES[place], pieces.iter().map(piece).collect::<Vec<_>>().join(";;;"));
    pieces.iter().any(|(_, text)| !text.is_empty()).then_some(setting)
}

fn read(data_dir: &Path) -> anyhow::Result<Option<Vec<From>>> {
    let path = data_dir.join(FILE);
    small_file::read_json(&path, || format!("{} is damaged: restore it from a backup, or remove it", path.display()))
}

fn write(data_dir: &Path, list: &[From]) -> anyhow::Result<()> {
    small_file::write_json(&data_dir.join(FILE), &list)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn list(include: &str, exclude: &str) -> Vec<From> {
        listed(&Filter::new(include, exclude, "").unwrap())
    }

    #[test]
    fn only_later_blocks_may_be_filtered_otherwise() {
        let old = list("", "account == 'spam'");
        must_agree(&old, &old, 2, 500).unwrap();
        must_agree(&old, &list("", "account == 'spam';;;#501;account == 'eggs'"), 2, 500).unwrap();
        must_agree(&list("", "#600;account == 'spam'"), &list("", ""), 2, 500).unwrap();
        let error = must_agree(&old, &list("input", "account == 'eggs'"), 2, 500).unwrap_err().to_string();
        for piece in [
            "from block 2 on, were written with no filter.include and filter.exclude \"account == 'spam'\"",
            "the configuration has filter.include \"input\" and filter.exclude \"account == 'eggs'\"",
            "set filter.include = \";;;#501;input\"",
            "filter.exclude = \"account == 'spam';;;#501;account == 'eggs'\"",
        ] {
            assert!(error.contains(piece), "{error}: {piece}");
        }
        let error = must_agree(&[], &old, 2, 500).unwrap_err().to_string();
        assert!(error.contains("set filter.exclude = \";;;#501;account == 'spam'\""), "{error}");
        // What is advised is accepted.
        must_agree(&[], &list("", ";;;#501;account == 'spam'"), 2, 500).unwrap();
        let error = must_agree(&old, &list("", ""), 300, 500).unwrap_err().to_string();
        assert!(error.contains("from block 300 on") && error.contains("account == 'spam';;;#501;\""), "{error}");
        must_agree(&old, &list("", "account == 'spam';;;#501;"), 300, 500).unwrap();
    }

    #[test]
    fn it_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let list = list("input", "#5;notif");
        assert_eq!(list.iter().map(|it| it.from_block).collect::<Vec<_>>(), [0, 5]);
        write(folder.path(), &list).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Some(list));
        fs::write(folder.path().join(FILE), "x").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("restore it"));
    }
}
