use axum::http::{HeaderMap, header};

const JSON: &str = "application/json";
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`: the status says whether the document was taken.
    Json,
    /// `application/graphql-response+json`: the status says whether it was executed.
    GraphqlResponse,
}

impl Media {
    /// The one that a client likes best; JSON if it does not say.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let (mut json, mut graphql) = (0, 0);
        let lists = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in lists.flat_map(|list| list.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
            let known = [(JSON, &mut json), (GRAPHQL_RESPONSE, &mut graphql)];
            if let Some((_, best)) = known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
                *best = quality.max(*best);
            }
        }
        if graphql > 0 && graphql >= json { Self::GraphqlResponse } else { Self::Json }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }
}

/// A quality from 0 to 1 in thousandths; 0 if it is not one.
fn thousandths(text: &str) -> u32 {
    let quality = text.parse::<f32>().ok().filter(|quality| (0.0..=1.0).contains(quality));
    quality.map_or(0, |quality| (quality * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_a_client_likes_best() {
        for (accept, wanted) in [
            (&[][..], Media::Json),
            (&["*/*"], Media::Json),
            (&["application/json"], Media::Json),
            (&["application/graphql-response+json"], Media::GraphqlResponse),
            (&["application/graphql-response+json, application/json"], Media::GraphqlResponse),
            (&["application/json", "Application/GraphQL-Response+JSON ; charset=utf-8"], Media::GraphqlResponse),
            (&["application/graphql-response+json;q=0.8, application/json"], Media::Json),
            (&["application/json;q=0.9, application/graphql-response+json"], Media::GraphqlResponse),
            (&["application/graphql-response+json;q=0"], Media::Json),
            (&["application/graphql-response+json;q=x, */*"], Media::Json),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            assert_eq!(Media::wanted(&headers), wanted, "{accept:?}");
        }
    }
}
