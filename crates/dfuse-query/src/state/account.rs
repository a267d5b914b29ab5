//! An account as far as the indexes know it: what the chain keeps of it, and what the system contract and the token contract
//! have in their tables.

use dfuse_antelope::{
    Asset, BlockTimestamp, Name,
    abi::{AbiSerializer, Rendering},
    raw::Reader,
};
use dfuse_blocks::BlockRef;
use dfuse_index::{
    abi::AbiSource,
    accounts::{self, AccountCreation},
    blocks::{self, IndexedBlock},
};
use dfuse_state::{
    PermissionLink, StateAt, TableKey,
    account_state::{self, AccountBase, AccountLimits, AccountPermission},
    tokens::{self, TokenKey},
};
use serde_json::Value;

use super::{coverage::was_created, unavailable::state_unavailable};
use crate::{ApiError, ApiResult, ErrorCode, ReadContext};
const TOKEN: Name = Name::literal("eosio.token");
const RAM_MARKET: Name = Name::literal("rammarket");
/// The primary key of the RAM market: the symbol `4,RAMCORE`.
const RAM_CORE: u64 = u64::from_le_bytes(*b"\x04RAMCORE");
/// Most bytes of JSON of a row.
const MAX_ROW_BYTES: usize = 64 << 10;
/// Most links of an account that are read.
const MAX_LINKS: usize = 1000;

/// An account at the head of the chain. What only a node knows is not in it.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub name: Name,
    /// When it was created, and its code.
    pub base: AccountBase,
    /// Its permissions.
    pub permissions: Vec<AccountPermission>,
    /// Its limits of resources; absent if they were not set since the indexes begin.
    pub limits: Option<AccountLimits>,
    /// Bytes of RAM that it uses, if known.
    pub ram_usage: Option<u64>,
    /// Its rows of the system contract.
    pub system_rows: SystemRows,
    /// What it holds of the chain's own token.
    pub core_balance: Option<Asset>,
    /// The head of the chain, and its time.
    pub head: Option<(BlockRef, BlockTimestamp)>,
    /// The first block of which there is state, and whether all of the account is known; absent if the whole chain is indexed.
    pub coverage: Option<(u32, bool)>,
}

/// The rows of an account in tables of the system contract, as the contract's ABI renders them.
#[derive(Debug, Clone, Default)]
pub struct SystemRows {
    /// `userres`: all resources that it has.
    pub total_resources: Option<Value>,
    /// `delband`: the resources that it has from itself.
    pub self_delegated_bandwidth: Option<Value>,
    /// `refunds`: the stake that is on its way back.
    pub refund_request: Option<Value>,
    /// `voters`: its votes.
    pub voter_info: Option<Value>,
}

/// Who created an account, and where.
#[derive(Debug, Clone)]
pub struct AccountCreated {
    /// The account.
    pub name: Name,
    /// Who created it, in which transaction.
    pub creation: AccountCreation,
    /// The number of the block.
    pub block_number: u32,
    /// The block.
    pub block: Option<IndexedBlock>,
}

/// What is known of an account beside what a node says of it.
#[derive(Debug, Clone)]
pub struct AccountLinks {
    /// Who created it; absent if that is unknown.
    pub created: Option<AccountCreated>,
    /// The contracts and actions that its permissions are linked to, up to 1000.
    pub links: Vec<PermissionLink>,
}

/// Reads an account.
///
/// # Errors
/// `account_not_found_error`, and `state_unavailable_error` if the account may be older than the indexes.
pub fn account(read: &ReadContext<'_>, name: Name) -> ApiResult<Account> {
    let (snapshot, view) = (read.snapshot(), read.view());
    let (first_block, lacks_older) = (snapshot.state_start(), snapshot.lacks_older_state());
    if accounts::get(view, name)?.is_none() {
        return Err(match first_block.filter(|_| lacks_older) {
            None => account_not_found(name),
            Some(first) => state_unavailable(
                first,
                format!("No account of this name was seen since block {first}; earlier ones are unknown."),
            ),
        });
    }
    let time_of = |head: BlockRef| {
        let block = blocks::by_number(view, head.number)?;
        Ok::<_, ApiError>((head, block.map(|block| block.time).unwrap_or_default()))
    };
    Ok(Account {
        name,
        base: account_state::base(view, name)?,
        permissions: account_state::permissions(view, name)?,
        limits: account_state::limits(view, name)?,
        ram_usage: account_state::ram_usage(view, name)?,
        system_rows: system_rows(read, name)?,
        core_balance: core_balance(read, name)?,
        head: snapshot.head().map(time_of).transpose()?,
        coverage: match first_block {
            Some(first) => Some((first, !lacks_older || was_created(view, name)?)),
            None => None,
        },
    })
}

/// Who created an account, and what its permissions are linked to.
///
/// # Errors
/// Those of reading.
pub fn account_links(read: &ReadContext<'_>, name: Name) -> ApiResult<AccountLinks> {
    let view = read.view();
    let mut links = Vec::new();
    for link in StateAt::of(view.clone()).permission_links(name, None)?.take(MAX_LINKS) {
        read.go_on()?;
        links.push(link?);
    }
    let found = accounts::get(view, name)?;
    let created = found.and_then(|account| account.creation.map(|creation| (account, creation)));
    let created = created.map(|(account, creation)| {
        let block = blocks::by_number(view, account.block_number)?;
        Ok::<_, ApiError>(AccountCreated { name: account.name, creation, block_number: account.block_number, block })
    });
    Ok(AccountLinks { created: created.transpose()?, links })
}

/// The error for an account that the chain does not have.
pub fn account_not_found(name: Name) -> ApiError {
    ApiError::new(ErrorCode::AccountNotFound, "There is no account of this name.").detail("account", name.to_string())
}

fn system_rows(read: &ReadContext<'_>, name: Name) -> ApiResult<SystemRows> {
    let Some(abi) = read.abis(read.view()).abi(Name::EOSIO, u64::MAX)? else { return Ok(SystemRows::default()) };
    let state = StateAt::of(read.view().clone());
    let row = |table, scope| {
        let row = state.row(&TableKey { contract: Name::EOSIO, table, scope }.row(name.0))?;
        Ok::<_, ApiError>(row.and_then(|row| decode(&abi, table, &row.row.data)))
    };
    Ok(SystemRows {
        total_resources: row(Name::literal("userres"), name)?,
        self_delegated_bandwidth: row(Name::literal("delband"), name)?,
        refund_request: row(Name::literal("refunds"), name)?,
        voter_info: row(Name::literal("voters"), Name::EOSIO)?,
    })
}

/// The RAM market says which token is the chain's own.
fn core_balance(read: &ReadContext<'_>, name: Name) -> ApiResult<Option<Asset>> {
    let market = TableKey { contract: Name::EOSIO, table: RAM_MARKET, scope: Name::EOSIO }.row(RAM_CORE);
    let row = StateAt::of(read.view().clone()).row(&market)?;
    let Some(core) = row.and_then(|row| read_core(&row.row.data)) else { return Ok(None) };
    let token = TokenKey { contract: TOKEN, symbol_code: core.symbol.code() };
    let held = tokens::balance(read.view(), token, name)?;
    Ok(held.map(|held| held.balance).filter(|balance| balance.symbol == core.symbol))
}

fn decode(abi: &AbiSerializer, table: Name, row: &[u8]) -> Option<Value> {
    let mut text = Vec::new();
    abi.table(table).ok()?.decode(row, Rendering::Nodeos, MAX_ROW_BYTES, &mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What the RAM market has of the chain's own token: behind its supply, and the RAM that it has with its weight.
fn read_core(market: &[u8]) -> Option<Asset> {
    let mut reader = Reader::new(market);
    reader.take(16 + 16 + 8, "RAM market").ok()?;
    Asset::read(&mut reader).ok()
}
