//! Tokens and balances in an order of their own, a page at a time, at the last irreversible block.
//!
//! A page is found in one pass over all there is, with room for the page alone: the cursor says what was on the page before it.

use std::cmp::Ordering;

use dfuse_antelope::{Asset, Name, SymbolCode};
use dfuse_blocks::CursorKind;
use dfuse_state::tokens::{self as index, Token, TokenHolder, TokenKey};

use super::{
    Height,
    tokens::{Contracts, resolve, unknown, view},
};
use crate::{ApiResult, ListCursor, ReadContext, cursor};

const SYSTEM_TOKEN: Name = Name::literal("eosio.token");

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankedBy {
    /// Letters of the token, or the name of the account in the list of a token.
    Text,
    /// Number of holders, or the amount in the smallest unit.
    Number,
}

/// In which order, and which part of it.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// What it is sorted by.
    pub by: RankedBy,
    /// Whether the greatest comes first. What is equal is in the order of names in either case.
    pub descending: bool,
    /// Most items.
    pub limit: usize,
    /// After which item the page begins.
    pub after: Option<ListCursor>,
}

/// Which tokens are wanted; an empty list stands for all.
#[derive(Debug, Clone, Default)]
pub struct TokenFilter {
    /// Letters.
    pub symbols: Vec<SymbolCode>,
    /// Contracts.
    pub contracts: Vec<Name>,
}

/// A page of a list that is sorted.
#[derive(Debug)]
pub struct RankedPage<T> {
    /// What is on it, each with the cursor for what comes after it.
    pub items: Vec<(T, String)>,
    /// Whether something comes before it.
    pub has_previous: bool,
    /// Whether something comes after it.
    pub has_next: bool,
    /// Which height it is of.
    pub height: Height,
    /// Whether nothing can be lacking that was written before the first block.
    pub is_complete: bool,
}

/// Where an item is in any order of any list. A cursor of one holds in the others, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rank {
    number: u64,
    /// Account, letters of the token as a number that sorts as they do, and contract; 0 for what a list does not have.
    names: [u64; 3],
}

/// What an item is sorted by, if it is by text.
#[derive(Debug, Clone, Copy)]
enum Text {
    Account,
    Letters,
}

impl Rank {
    fn bytes(&self) -> Vec<u8> {
        let [account, letters, contract] = self.names;
        cursor::bytes([self.number, account, letters, contract])
    }

    fn read(cursor: &ListCursor) -> ApiResult<Self> {
        let (place, []) = cursor.place::<32, 0>(&[])?;
        let mut numbers = place.chunks_exact(8).map(|chunk| chunk.try_into().map_or(0, u64::from_be_bytes));
        let mut next = || numbers.next().unwrap_or_default();
        Ok(Self { number: next(), names: [next(), next(), next()] })
    }
}

impl Ranking {
    fn order(&self, text: Text, a: &Rank, b: &Rank) -> Ordering {
        let at = match text {
            Text::Account => 0,
            Text::Letters => 1,
        };
        let sorted = match self.by {
            RankedBy::Number => a.number.cmp(&b.number),
            RankedBy::Text => a.names[at].cmp(&b.names[at]),
        };
        let sorted = if self.descending { sorted.reverse() } else { sorted };
        sorted.then(a.names.cmp(&b.names))
    }
}

/// The best of what comes after a rank, in order.
struct Best<'a, T> {
    ranking: &'a Ranking,
    text: Text,
    after: Option<Rank>,
    kept: Vec<(Rank, T)>,
    has_previous: bool,
}

impl<'a, T> Best<'a, T> {
    fn new(ranking: &'a Ranking, text: Text) -> ApiResult<Self> {
        let after = ranking.after.as_ref().map(Rank::read).transpose()?;
        Ok(Self { ranking, text, after, kept: Vec::new(), has_previous: false })
    }

    fn push(&mut self, rank: Rank, item: T) {
        if self.after.is_some_and(|after| self.ranking.order(self.text, &rank, &after).is_le()) {
            self.has_previous = true;
            return;
        }
        self.kept.push((rank, item));
        if self.kept.len() > 2 * (self.ranking.limit + 1) {
            self.cut(self.ranking.limit + 1);
        }
    }

    fn cut(&mut self, most: usize) {
        let (ranking, text) = (self.ranking, self.text);
        self.kept.sort_by(|(a, _), (b, _)| ranking.order(text, a, b));
        self.kept.truncate(most);
    }

    fn page(mut self, read: &ReadContext<'_>, kind: CursorKind, height: Height, is_complete: bool) -> RankedPage<T> {
        self.cut(self.ranking.limit + 1);
        let has_next = self.kept.len() > self.ranking.limit;
        self.kept.truncate(self.ranking.limit);
        let sealed = |rank: Rank| cursor::seal(read.service(), kind, &[], &rank.bytes());
        let items = self.kept.into_iter().map(|(rank, item)| (item, sealed(rank))).collect();
        RankedPage { items, has_previous: self.has_previous, has_next, height, is_complete }
    }
}

impl TokenFilter {
    /// Whether nothing of what it lets through can be lacking that was written before the first block.
    fn is_complete(&self, height: &Height) -> ApiResult<bool> {
        if self.contracts.is_empty() {
            return Ok(!height.lacks_older_state());
        }
        self.contracts.iter().try_fold(true, |all, contract| Ok(all && height.knows_account(*contract)?))
    }

    fn lets_through(&self, key: TokenKey) -> bool {
        (self.symbols.is_empty() || self.symbols.contains(&key.symbol_code))
            && (self.contracts.is_empty() || self.contracts.contains(&key.contract))
    }
}

/// Letters of a token as a number that sorts as they do.
fn letters(code: SymbolCode) -> u64 {
    code.0.swap_bytes()
}

/// A signed number as one that sorts as it does.
fn amount(asset: Asset) -> u64 {
    (asset.amount as u64) ^ (1 << 63)
}

/// Tokens by their letters or by how many accounts hold them.
///
/// # Errors
/// `request_validation_error` for the cursor of another list, and those of reading.
pub fn ranked_tokens(read: &ReadContext<'_>, filter: &TokenFilter, ranking: &Ranking) -> ApiResult<RankedPage<Token>> {
    let height = resolve(read, true)?;
    let mut best = Best::new(ranking, Text::Letters)?;
    let mut contracts = Contracts::at(&height);
    if let Some(view) = view(&height) {
        for token in index::all(view, None, None)? {
            read.go_on()?;
            let token = token?;
            if filter.lets_through(token.key) && contracts.are_tokens(view, token.key.contract)? {
                let TokenKey { contract, symbol_code } = token.key;
                let letters = letters(symbol_code);
                best.push(Rank { number: token.holders, names: [0, letters, contract.0] }, token);
            }
        }
    }
    let is_complete = filter.is_complete(&height)?;
    Ok(best.page(read, CursorKind::Tokens, height, is_complete))
}

/// What an account has, by the letters of the tokens or by amounts.
///
/// # Errors
/// Those of [`ranked_tokens`].
pub fn ranked_balances(
    read: &ReadContext<'_>,
    account: Name,
    filter: &TokenFilter,
    with_staked: bool,
    ranking: &Ranking,
) -> ApiResult<RankedPage<TokenHolder>> {
    let height = resolve(read, true)?;
    let mut best = Best::new(ranking, Text::Letters)?;
    let mut contracts = Contracts::at(&height);
    if let Some(view) = view(&height) {
        let staked = if with_staked { index::staked(view, account)? } else { None };
        for holder in index::balances(view, account, None)? {
            read.go_on()?;
            let holder = with_stake(holder?, staked);
            let TokenKey { contract, symbol_code } = holder.token;
            if filter.lets_through(holder.token) && contracts.are_tokens(view, contract)? {
                let letters = letters(symbol_code);
                let names = [account.0, letters, contract.0];
                best.push(Rank { number: amount(holder.balance), names }, holder);
            }
        }
    }
    let is_complete = filter.is_complete(&height)?;
    Ok(best.page(read, CursorKind::Balances, height, is_complete))
}

/// Who holds a token, by account or by amount; of `accounts` alone, if there are any.
///
/// # Errors
/// `data_token_not_found_error` if the contract has no such token; those of [`ranked_tokens`].
pub fn ranked_holders(
    read: &ReadContext<'_>,
    key: TokenKey,
    accounts: &[Name],
    with_staked: bool,
    ranking: &Ranking,
) -> ApiResult<RankedPage<TokenHolder>> {
    let height = resolve(read, true)?;
    let mut best = Best::new(ranking, Text::Account)?;
    let is_complete = height.knows_account(key.contract)?;
    let absent = || height.absent(is_complete, unknown(key));
    let Some(view) = view(&height) else { return Err(absent()) };
    if index::get(view, key)?.is_none() || !Contracts::at(&height).are_tokens(view, key.contract)? {
        return Err(absent());
    }
    let mut push = |holder: TokenHolder| -> ApiResult<()> {
        read.go_on()?;
        let staked = if with_staked { index::staked(view, holder.account)? } else { None };
        let holder = with_stake(holder, staked);
        let names = [holder.account.0, letters(key.symbol_code), key.contract.0];
        best.push(Rank { number: amount(holder.balance), names }, holder);
        Ok(())
    };
    if accounts.is_empty() {
        index::holders(view, key, None)?.try_for_each(|holder| push(holder?))?;
    } else {
        for account in accounts {
            index::balance(view, key, *account)?.map_or(Ok(()), &mut push)?;
        }
    }
    Ok(best.page(read, CursorKind::Balances, height, is_complete))
}

/// With what is staked of the token that can be staked.
fn with_stake(mut holder: TokenHolder, staked: Option<Asset>) -> TokenHolder {
    if let Some(staked) = staked
        && holder.token.contract == SYSTEM_TOKEN
        && holder.balance.symbol == staked.symbol
        && holder.balance.symbol.code().to_string() == "EOS"
    {
        holder.balance.amount = holder.balance.amount.saturating_add(staked.amount);
    }
    holder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(by: RankedBy, descending: bool) -> Ranking {
        Ranking { by, descending, limit: 2, after: None }
    }

    #[test]
    fn a_page_has_the_best_of_what_comes_after_a_rank() {
        let ranking = ranking(RankedBy::Number, true);
        let all: Vec<_> = [3, 9, 1, 7, 7, 5, 8, 2].into_iter().zip(0..).collect();
        let mut after = None;
        let mut seen = Vec::new();
        for _ in 0..5 {
            let mut best =
                Best { ranking: &ranking, text: Text::Account, after, kept: Vec::new(), has_previous: false };
            for (number, name) in &all {
                best.push(Rank { number: *number, names: [*name, 0, 0] }, (*number, *name));
            }
            assert_eq!(best.has_previous, after.is_some());
            best.cut(2);
            seen.extend(best.kept.iter().map(|(_, item)| *item));
            after = best.kept.last().map(|(rank, _)| *rank).or(after);
        }
        assert_eq!(seen, [(9, 1), (8, 6), (7, 3), (7, 4), (5, 5), (3, 0), (2, 7), (1, 2)]);
    }

    #[test]
    fn amounts_below_nothing_come_first() {
        let asset = |amount| Asset { amount, ..Asset::default() };
        assert!(amount(asset(-5)) < amount(asset(0)) && amount(asset(0)) < amount(asset(5)));
        let code = |text: &str| letters(text.parse().unwrap());
        assert!(code("BIG") < code("EOS") && code("EO") < code("EOS"));
    }
}
