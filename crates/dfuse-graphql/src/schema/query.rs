//! The fields of queries.

use async_graphql::{Context, Object};
use dfuse_query::{ApiResult, RouteClass, blocks, state::RankedBy};

use super::{
    lists::{self, Listed},
    search::{self, Arguments},
    state::{self, At, Rows},
    transactions,
};
use crate::{
    read::Request,
    types::{
        AccountBalanceConnection, AccountBalanceOption, AccountBalancesSortField, AccountHistoryActionsConnection,
        Block, BlockIdResponse, Comparator, Int64, SearchCountResponse, SearchTransactionsBackwardResponse,
        SearchTransactionsForwardResponse, SortOrder, TableDiffResponse, TableRowResponse, TableRowsResponse, Time,
        TokenBalancesSortField, TokenConnection, TokensSortField, TransactionLifecycle, Uint32, Uint64Encoding,
    },
};

/// Queries
pub(crate) struct Query;

#[Object]
impl Query {
    /// Finds a block of the best chain by its time.
    #[graphql(name = "blockIDByTime")]
    async fn block_id_by_time(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The time to compare with.")] time: Time,
        #[graphql(desc = "Where the block is, as seen from the time.", default_with = "Some(Comparator::Lte)")]
        comparator: Option<Comparator>,
    ) -> ApiResult<BlockIdResponse> {
        let request = Request::of(ctx);
        let read = request.begin(RouteClass::LookUp)?;
        let block = blocks::by_time(&read, time.0, comparator.unwrap_or(Comparator::Lte).into())?;
        read.may_read(block.number)?;
        request.count(1);
        Ok(block.into())
    }

    /// Searches transactions with actions that match a query, oldest first.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn search_transactions_forward(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look for, in the language of searches.")] query: String,
        #[graphql(desc = "The first block; numbers below 0 count from the last one, which is -1.")]
        low_block_num: Option<Int64>,
        #[graphql(desc = "The last block, in the same manner.")] high_block_num: Option<Int64>,
        #[graphql(desc = "The cursor after which the results begin.")] cursor: Option<String>,
        #[graphql(desc = "Most results, up to 1000.", default_with = "Some(Int64(100))")] limit: Option<Int64>,
        #[graphql(desc = "Only blocks that can no longer be undone.", default_with = "Some(false)")]
        irreversible_only: Option<bool>,
    ) -> ApiResult<SearchTransactionsForwardResponse> {
        let arguments = Arguments { query, low_block_num, high_block_num, cursor, limit, irreversible_only };
        search::forward(Request::shared(ctx), &arguments)
    }

    /// Searches transactions with actions that match a query, newest first.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn search_transactions_backward(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look for, in the language of searches.")] query: String,
        #[graphql(desc = "The first block; numbers below 0 count from the last one, which is -1.")]
        low_block_num: Option<Int64>,
        #[graphql(desc = "The last block, in the same manner.")] high_block_num: Option<Int64>,
        #[graphql(desc = "The cursor before which the results end.")] cursor: Option<String>,
        #[graphql(desc = "Most results, up to 1000.", default_with = "Some(Int64(100))")] limit: Option<Int64>,
        #[graphql(desc = "Only blocks that can no longer be undone.", default_with = "Some(false)")]
        irreversible_only: Option<bool>,
    ) -> ApiResult<SearchTransactionsBackwardResponse> {
        let arguments = Arguments { query, low_block_num, high_block_num, cursor, limit, irreversible_only };
        search::backward(Request::shared(ctx), &arguments)
    }

    /// Counts what a query matches, without reading it.
    async fn search_count(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to look for, in the language of searches.")] query: String,
        #[graphql(desc = "The first block; numbers below 0 count from the last one, which is -1.")]
        low_block_num: Option<Int64>,
        #[graphql(desc = "The last block, in the same manner.")] high_block_num: Option<Int64>,
        #[graphql(desc = "Only blocks that can no longer be undone.", default_with = "Some(false)")]
        irreversible_only: Option<bool>,
    ) -> ApiResult<SearchCountResponse> {
        let irreversible_only = irreversible_only.unwrap_or(false);
        search::count(Request::of(ctx), &query, search::bounds(low_block_num, high_block_num), irreversible_only)
    }

    /// The block in which an account was created.
    #[graphql(name = "blockIDAtAccountCreation")]
    async fn block_id_at_account_creation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account.")] account: String,
    ) -> ApiResult<BlockIdResponse> {
        lists::block_of_creation(Request::of(ctx), &account)
    }

    /// What an account has done and what has come to it in irreversible blocks: the actions that it authorised or executed,
    /// newest first.
    async fn get_account_history_actions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account.")] account: String,
        #[graphql(desc = "Actions of this contract alone.")] contract: Option<String>,
        #[graphql(desc = "Most actions, up to 1000.", default_with = "Some(Int64(100))")] limit: Option<Int64>,
        #[graphql(desc = "The cursor after which the actions begin.")] cursor: Option<String>,
    ) -> ApiResult<AccountHistoryActionsConnection> {
        lists::history(Request::shared(ctx), &account, contract.as_deref(), limit, cursor.as_deref())
    }

    /// A block of any branch by its id, or that of the best chain by its number.
    async fn block(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: Option<String>,
        #[graphql(desc = "Its height.")] num: Option<Uint32>,
    ) -> Option<ApiResult<Block>> {
        Some(lists::block(Request::shared(ctx), id.as_deref(), num))
    }

    /// All that is known of a transaction: where it was executed, what made it or cancelled it, and whether that can still change.
    async fn transaction_lifecycle(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id, or 8 digits or more of its beginning.")] id: String,
        #[graphql(desc = "Only blocks count that are final or have so many on top.", default_with = "Some(Uint32(0))")]
        confirmations: Option<Uint32>,
    ) -> Option<ApiResult<TransactionLifecycle>> {
        let confirmations = confirmations.map_or(0, |it| it.0);
        Some(transactions::lifecycle(Request::shared(ctx), &id, confirmations))
    }

    /// Rows of a table of a contract, as they were after a block.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn table_rows(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contract.")] code: String,
        #[graphql(desc = "The table.")] table: String,
        #[graphql(desc = "The scope; a name, a symbol such as 4,EOS, or the letters of one. May be empty.")]
        scope: String,
        #[graphql(desc = "The first primary key.")] lower_key: Option<String>,
        #[graphql(desc = "The last primary key.")] upper_key: Option<String>,
        #[graphql(desc = "How the keys are written.", default_with = "Some(Uint64Encoding::Name)")]
        key_encoding: Option<Uint64Encoding>,
        #[graphql(desc = "After which block; 0 or nothing for the newest.")] block_num: Option<Uint32>,
        #[graphql(
            desc = "Whether a block that can still be undone is refused, and the newest is the last one that cannot.",
            default_with = "Some(false)"
        )]
        irreversible_only: Option<bool>,
        #[graphql(desc = "Most rows, up to 1000.", default_with = "Some(Uint32(100))")] limit: Option<Uint32>,
        #[graphql(desc = "The cursor after which the rows begin.")] cursor: Option<String>,
    ) -> ApiResult<TableRowsResponse> {
        let rows = Rows { lower_key, upper_key, key_encoding, limit, cursor };
        let key = state::table(&code, &table, &scope)?;
        let json = ctx.look_ahead().field("rows").field("json").exists();
        state::rows(Request::shared(ctx), key, At { block_num, irreversible_only }, &rows, json)
    }

    /// A row of a table of a contract, as it was after a block.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn table_row(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contract.")] code: String,
        #[graphql(desc = "The table.")] table: String,
        #[graphql(desc = "The scope; a name, a symbol such as 4,EOS, or the letters of one. May be empty.")]
        scope: String,
        #[graphql(desc = "The primary key.")] key: String,
        #[graphql(desc = "How the key is written.", default_with = "Some(Uint64Encoding::Name)")] key_encoding: Option<
            Uint64Encoding,
        >,
        #[graphql(desc = "After which block; 0 or nothing for the newest.")] block_num: Option<Uint32>,
        #[graphql(
            desc = "Whether a block that can still be undone is refused, and the newest is the last one that cannot.",
            default_with = "Some(false)"
        )]
        irreversible_only: Option<bool>,
    ) -> Option<ApiResult<TableRowResponse>> {
        let at = At { block_num, irreversible_only };
        let json = ctx.look_ahead().field("row").field("json").exists();
        let row = |own| state::row(Request::shared(ctx), own, &scope, (&key, key_encoding), at, json);
        Some(state::table(&code, &table, &scope).and_then(row))
    }

    /// The rows of a table of a contract that differ between two blocks.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn table_diff(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contract.")] code: String,
        #[graphql(desc = "The table.")] table: String,
        #[graphql(desc = "The scope; a name, a symbol such as 4,EOS, or the letters of one. May be empty.")]
        scope: String,
        #[graphql(desc = "The block after which the old rows were there.")] from_block_num: Uint32,
        #[graphql(desc = "The block after which the new rows were there; 0 or nothing for the newest.")]
        to_block_num: Option<Uint32>,
        #[graphql(
            desc = "Whether blocks that can still be undone are refused, and the newest is the last one that cannot.",
            default_with = "Some(false)"
        )]
        irreversible_only: Option<bool>,
    ) -> ApiResult<TableDiffResponse> {
        let to = At { block_num: to_block_num, irreversible_only };
        let rows = ctx.look_ahead().field("rows");
        let json = ["old", "new"].into_iter().any(|side| rows.field(side).field("json").exists());
        state::difference(Request::shared(ctx), state::table(&code, &table, &scope)?, from_block_num, to, json)
    }

    /// Tokens at the last irreversible block.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Tokens of these letters alone.")] token_symbols: Option<Vec<String>>,
        #[graphql(desc = "Tokens of these contracts alone.")] token_contracts: Option<Vec<String>>,
        #[graphql(desc = "The cursor after which the tokens begin.")] cursor: Option<String>,
        #[graphql(desc = "Most tokens, up to 100.")] limit: Option<Uint32>,
        #[graphql(desc = "What they are sorted by.", default_with = "Some(TokensSortField::Holders)")]
        sort_field: Option<TokensSortField>,
        #[graphql(desc = "Which end comes first.", default_with = "Some(SortOrder::Desc)")] sort_order: Option<
            SortOrder,
        >,
    ) -> ApiResult<TokenConnection> {
        let by = if sort_field == Some(TokensSortField::Alpha) { RankedBy::Text } else { RankedBy::Number };
        let filter = lists::filter(token_symbols.as_deref(), token_contracts.as_deref())?;
        lists::tokens(Request::of(ctx), &filter, &Listed { cursor, limit, by, order: sort_order })
    }

    /// What an account has of tokens at the last irreversible block.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn account_balances(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account.")] account: String,
        #[graphql(desc = "The cursor after which the balances begin.")] cursor: Option<String>,
        #[graphql(desc = "Tokens of these letters alone.")] token_symbols: Option<Vec<String>>,
        #[graphql(desc = "Tokens of these contracts alone.")] token_contracts: Option<Vec<String>>,
        #[graphql(desc = "Most balances, up to 100.")] limit: Option<Uint32>,
        #[graphql(desc = "What they are sorted by.", default_with = "Some(AccountBalancesSortField::Amount)")]
        sort_field: Option<AccountBalancesSortField>,
        #[graphql(desc = "Which end comes first.", default_with = "Some(SortOrder::Desc)")] sort_order: Option<
            SortOrder,
        >,
        #[graphql(desc = "What is counted.")] options: Option<Vec<AccountBalanceOption>>,
    ) -> ApiResult<AccountBalanceConnection> {
        let by = if sort_field == Some(AccountBalancesSortField::Alpha) { RankedBy::Text } else { RankedBy::Number };
        let filter = lists::filter(token_symbols.as_deref(), token_contracts.as_deref())?;
        let listed = Listed { cursor, limit, by, order: sort_order };
        lists::account_balances(Request::of(ctx), &account, &filter, is_with_staked(options.as_deref()), &listed)
    }

    /// Who holds a token at the last irreversible block.
    #[allow(clippy::too_many_arguments, reason = "the arguments of the field")]
    async fn token_balances(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The contract.")] contract: String,
        #[graphql(desc = "The letters of the token.")] symbol: String,
        #[graphql(desc = "These accounts alone.")] token_holders: Option<Vec<String>>,
        #[graphql(desc = "The cursor after which the balances begin.")] cursor: Option<String>,
        #[graphql(desc = "Most balances, up to 100.")] limit: Option<Uint32>,
        #[graphql(desc = "What they are sorted by.", default_with = "Some(TokenBalancesSortField::Amount)")]
        sort_field: Option<TokenBalancesSortField>,
        #[graphql(desc = "Which end comes first.", default_with = "Some(SortOrder::Desc)")] sort_order: Option<
            SortOrder,
        >,
        #[graphql(desc = "What is counted.")] options: Option<Vec<AccountBalanceOption>>,
    ) -> ApiResult<AccountBalanceConnection> {
        let by = if sort_field == Some(TokenBalancesSortField::Alpha) { RankedBy::Text } else { RankedBy::Number };
        let listed = Listed { cursor, limit, by, order: sort_order };
        let (with_staked, token) = (is_with_staked(options.as_deref()), (contract.as_str(), symbol.as_str()));
        lists::token_balances(Request::of(ctx), token, token_holders.as_deref(), with_staked, &listed)
    }
}

fn is_with_staked(options: Option<&[AccountBalanceOption]>) -> bool {
    options.unwrap_or_default().contains(&AccountBalanceOption::EosIncludeStaked)
}
