//! Who may use an account: its permissions as a tree.

use dfuse_antelope::Name;
use dfuse_query::{ApiResult, ReadContext, state};
use dfuse_state::{
    PermissionLink,
    account_state::{self, AccountPermission},
};
use maud::{Markup, html};

use super::{asked::Asked, holdings::as_api};
use crate::{links, shown::visible};

/// Most permissions and links of a page.
const MOST: usize = 200;

/// The permissions with their keys, each below its parent, and what is linked to them.
pub(super) fn tree(read: &ReadContext<'_>, asked: &Asked) -> ApiResult<Markup> {
    let account = asked.name;
    let mut permissions = account_state::permissions(read.view(), account)?;
    permissions.truncate(MOST);
    let mut listed = state::permission_links(read, account, asked.at())?;
    let mut linked = Vec::new();
    while linked.len() < MOST
        && let Some(link) = listed.next_item()?
    {
        linked.push(link);
    }
    // What has no parent here is a root: also what names one that is not known.
    let is_root =
        |it: &&AccountPermission| it.parent == it.name || !permissions.iter().any(|above| above.name == it.parent);
    let roots: Vec<_> = permissions.iter().filter(is_root).collect();
    let (name, height) = (account.to_string(), asked.height());
    let api = links::address("/v0/state/permission_links", [("account", &name), ("block_num", &height)]);
    Ok(html! {
        @if !asked.is_at_head() {
            p.quiet { "Links are those of the block; keys and parents are indexed as they are now only. "
                a href=(links::address("/search", [("q", &format!("account:eosio action:updateauth data.account:\"{account}\""))])) { "When they changed" } }
        }
        @if permissions.is_empty() { p.quiet { "None has changed since the indexes begin." } }
        @else { ul.tree { @for root in roots { (node(root, &permissions, &linked, permissions.len())) } } }
        (as_api(&api))
    })
}

/// `depth` bounds what a circle of parents would make endless.
fn node(permission: &AccountPermission, all: &[AccountPermission], linked: &[PermissionLink], depth: usize) -> Markup {
    let authority = &permission.authority;
    let below = all.iter().filter(|it| it.parent == permission.name && it.name != permission.name);
    let below: Vec<_> = if depth == 0 { Vec::new() } else { below.collect() };
    let of_it: Vec<_> = linked.iter().filter(|link| link.permission == permission.name).collect();
    html! {
        li {
            strong { (permission.name) } " needs " (authority.threshold)
            ul {
                @for it in authority.keys.iter().take(MOST) {
                    li { "+" (it.weight) " " a.id href={ "/key/" (it.public_key) } { (visible(&it.public_key)) } }
                }
                @for it in authority.accounts.iter().take(MOST) {
                    li { "+" (it.weight) " " (links::account(it.permission.actor)) "@" (it.permission.permission) }
                }
                @for it in authority.waits.iter().take(MOST) { li { "+" (it.weight) " after " (it.wait_sec) " seconds" } }
                @for link in of_it {
                    li {
                        "suffices for " (links::account(link.contract)) ":"
                        @if link.action == Name(0) { "all actions" } @else { (link.action) }
                    }
                }
                @for it in below { (node(it, all, linked, depth - 1)) }
            }
        }
    }
}
