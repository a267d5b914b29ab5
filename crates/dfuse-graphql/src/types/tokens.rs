//! Tokens and balances.

use async_graphql::{Object, SimpleObject};
use dfuse_antelope::Asset;
use dfuse_query::{ApiResult, state::RankedPage};
use dfuse_state::tokens::{Token as TokenRow, TokenHolder};

use super::{AssetFormat, PageInfo, StateHeight, Uint32, Uint64};

fn amount(asset: Asset, format: Option<AssetFormat>) -> String {
    match format.unwrap_or(AssetFormat::Asset) {
        AssetFormat::Asset => asset.to_string(),
        AssetFormat::Integer => asset.amount.to_string(),
        AssetFormat::Decimal => {
            let text = asset.to_string();
            text.split_once(' ').map_or(text.clone(), |(number, _)| number.to_owned())
        }
    }
}

/// Some tokens.
#[derive(SimpleObject)]
pub(crate) struct TokenConnection {
    /// When they were so.
    #[graphql(flatten)]
    height: StateHeight,
    /// The tokens.
    edges: Vec<Option<TokenEdge>>,
    /// Where they are among all.
    page_info: Option<PageInfo>,
}

/// A token of a list.
#[derive(SimpleObject)]
pub(crate) struct TokenEdge {
    /// What comes after it begins here.
    cursor: String,
    /// The token.
    node: Token,
}

impl TokenConnection {
    pub(crate) fn new(page: RankedPage<TokenRow>) -> ApiResult<Self> {
        let page_info = PageInfo::new(page.items.iter().map(|(_, cursor)| cursor), page.has_next, page.has_previous);
        let height = StateHeight::new(&page.height, page.is_complete)?;
        let edge = |(token, cursor)| Some(TokenEdge { cursor, node: Token(token) });
        Ok(Self { height, edges: page.items.into_iter().map(edge).collect(), page_info: Some(page_info) })
    }
}

/// A token of a contract.
pub(crate) struct Token(TokenRow);

/// A token of a contract.
#[Object]
impl Token {
    /// The contract.
    async fn contract(&self) -> String {
        self.0.key.contract.to_string()
    }

    /// Its letters.
    async fn symbol(&self) -> String {
        self.0.key.symbol_code.to_string()
    }

    /// Its decimals.
    async fn precision(&self) -> Uint32 {
        u32::from(self.0.supply.symbol.precision()).into()
    }

    /// Who may issue it.
    async fn issuer(&self) -> String {
        self.0.issuer.to_string()
    }

    /// How many accounts have a row for it, even one of nothing.
    async fn holders(&self) -> Uint64 {
        self.0.holders.into()
    }

    /// The most there may be.
    async fn maximum_supply(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(AssetFormat::Asset)")] format: Option<AssetFormat>,
    ) -> String {
        amount(self.0.max_supply, format)
    }

    /// What was issued and not retired.
    async fn total_supply(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(AssetFormat::Asset)")] format: Option<AssetFormat>,
    ) -> String {
        amount(self.0.supply, format)
    }
}

/// Some balances.
#[derive(SimpleObject)]
pub(crate) struct AccountBalanceConnection {
    /// When they were so.
    #[graphql(flatten)]
    height: StateHeight,
    /// The balances.
    edges: Vec<Option<AccountBalanceEdge>>,
    /// Where they are among all.
    page_info: Option<PageInfo>,
}

/// A balance of a list.
#[derive(SimpleObject)]
pub(crate) struct AccountBalanceEdge {
    /// What comes after it begins here.
    cursor: String,
    /// The balance.
    node: AccountBalance,
}

impl AccountBalanceConnection {
    pub(crate) fn new(page: RankedPage<TokenHolder>) -> ApiResult<Self> {
        let page_info = PageInfo::new(page.items.iter().map(|(_, cursor)| cursor), page.has_next, page.has_previous);
        let height = StateHeight::new(&page.height, page.is_complete)?;
        let edge = |(holder, cursor)| Some(AccountBalanceEdge { cursor, node: AccountBalance(holder) });
        Ok(Self { height, edges: page.items.into_iter().map(edge).collect(), page_info: Some(page_info) })
    }
}

/// What an account has of a token.
pub(crate) struct AccountBalance(TokenHolder);

/// What an account has of a token.
#[Object]
impl AccountBalance {
    /// The contract of the token.
    async fn contract(&self) -> String {
        self.0.token.contract.to_string()
    }

    /// The account.
    async fn account(&self) -> String {
        self.0.account.to_string()
    }

    /// The letters of the token.
    async fn symbol(&self) -> String {
        self.0.token.symbol_code.to_string()
    }

    /// The decimals of the token.
    async fn precision(&self) -> Uint32 {
        u32::from(self.0.balance.symbol.precision()).into()
    }

    /// How much the account has.
    async fn balance(
        &self,
        #[graphql(desc = "How it is shown.", default_with = "Some(AssetFormat::Asset)")] format: Option<AssetFormat>,
    ) -> String {
        amount(self.0.balance, format)
    }
}
