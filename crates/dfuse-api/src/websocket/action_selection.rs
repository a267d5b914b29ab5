//! Which actions a stream wants, and how they are rendered.

use std::{collections::BTreeSet, sync::Arc};

use dfuse_antelope::{Name, model::Block};
use dfuse_query::{
    ApiResult, ReadContext, shorten,
    streams::{ActionFilter, ActionItem, Places, actions_of, view_of},
};
use dfuse_render::{ActionParts, ActionTree, Renderer};

use super::{
    message::{Fields, check, invalid},
    selection::{Page, Selection, Slice, slice},
};

/// Which actions, and what of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ActionSelection {
    pub(super) actions: ActionFilter,
    with_inline_traces: bool,
    parts: ActionParts,
    /// Messages tell the step, and those of blocks that are undone are sent again as undone.
    pub(super) with_undo: bool,
}

impl ActionSelection {
    /// Reads the `data` of a message.
    ///
    /// # Errors
    /// `ws_invalid_json_message_data_error` and `ws_message_data_validation_error`.
    pub(super) fn read(data: &Fields) -> ApiResult<Self> {
        let accounts = names(data, "accounts", "account")?;
        check(accounts.is_some(), "'data.accounts' required")?;
        let actions = ActionFilter {
            accounts: accounts.unwrap_or_default(),
            receivers: names(data, "receivers", "receiver")?,
            action_names: names(data, "action_names", "action_name")?,
            with_soft_fail: data.flag("with_soft_fail")?,
        };
        Ok(Self {
            actions,
            with_inline_traces: data.flag("with_inline_traces")?,
            parts: ActionParts {
                db_ops: data.flag("with_dbops")?,
                ram_ops: data.flag("with_ramops")?,
                dtrx_ops: data.flag("with_dtrxops")?,
                table_ops: data.flag("with_tableops")?,
            },
            with_undo: data.flag("with_undo")?,
        })
    }

    /// What is asked for of what actions did to rows and RAM, as it is asked for.
    pub(super) fn fields_of_operations(&self) -> Vec<&'static str> {
        let ActionParts { db_ops, ram_ops, dtrx_ops, table_ops } = self.parts;
        let asked = [
            ("with_dbops", db_ops),
            ("with_ramops", ram_ops),
            ("with_dtrxops", dtrx_ops),
            ("with_tableops", table_ops),
        ];
        asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(field, _)| field).collect()
    }
}

/// Names between `|`; of the two fields the old one counts if it is not empty. Absent if there are none.
fn names(data: &Fields, key: &'static str, old_key: &'static str) -> ApiResult<Option<BTreeSet<Name>>> {
    let (new, old) = (data.text(key)?, data.text(old_key)?);
    let (key, text) = if old.is_empty() { (key, new) } else { (old_key, old) };
    let names = text.split('|').map(str::trim).filter(|name| !name.is_empty());
    let names = names.map(|name| {
        name.parse().map_err(|_| invalid(format!("'data.{key}' has \"{}\", which is not a name", shorten(name))))
    });
    let names: BTreeSet<_> = names.collect::<ApiResult<_>>()?;
    Ok((!names.is_empty()).then_some(names))
}

impl Selection for Arc<ActionSelection> {
    const KIND: &str = "action_trace";
    type Item = ActionItem;

    fn all(block: &Block) -> Arc<[ActionItem]> {
        actions_of(block)
    }

    fn pick(&self, all: &[ActionItem]) -> Places {
        self.actions.pick(all)
    }

    fn render(page: &Page<Self>, read: &ReadContext<'_>, from: usize) -> ApiResult<Slice> {
        let view = view_of(read.snapshot(), page.block.id)?;
        let abis = read.abis(&view);
        let ActionSelection { with_inline_traces, parts, with_undo, .. } = *page.selection;
        let step = with_undo.then(|| page.change.as_str());
        let mut tree: Option<(usize, ActionTree)> = None;
        slice(read.reading(), &page.places[from..], |text, (transaction, action)| {
            let trace = &page.block.transaction_traces()[*transaction];
            if with_inline_traces && tree.as_ref().is_none_or(|(of, _)| of != transaction) {
                tree = Some((*transaction, ActionTree::new(&trace.action_traces)));
            }
            let tree = tree.as_ref().map(|(_, tree)| tree);
            Ok(Renderer::new(text, &abis).action_of_block(&page.block, trace, *action, tree, parts, step)?)
        })
    }
}
