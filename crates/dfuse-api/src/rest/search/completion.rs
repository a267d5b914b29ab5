//! `/v0/search/completion`: what the beginning of a query may go on with.

use dfuse_query::{
    ApiResult,
    search::{Suggestion, complete},
};
use serde::Serialize;

use crate::{Api, Json, Params, params::rules::text};

#[derive(Debug, Serialize)]
pub(super) struct Section {
    id: &'static str,
    suggestions: Vec<Suggested>,
}

#[derive(Debug, Serialize)]
struct Suggested {
    label: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

impl From<Suggestion> for Suggested {
    fn from(Suggestion { text, summary }: Suggestion) -> Self {
        Self { label: text.clone(), key: text, summary }
    }
}

/// Accounts whose names begin so, and queries.
pub(super) async fn completion(api: Api, mut params: Params) -> ApiResult<Json<Vec<Section>>> {
    let prefix = params.required("prefix", text);
    let prefix = params.finish(prefix)?;
    let completion = api.query(move |read| complete(read, &prefix)).await?;
    let accounts = completion.accounts.into_iter().map(|text| Suggestion { text, summary: None }.into()).collect();
    let queries = completion.queries.into_iter().map(Into::into).collect();
    let sections = [Section { id: "accounts", suggestions: accounts }, Section { id: "query", suggestions: queries }];
    Ok(Json(sections.into_iter().filter(|section| !section.suggestions.is_empty()).collect()))
}
