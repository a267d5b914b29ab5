//! `/dashboard`: whether all is well, for operators.

mod conditions;
mod figures;
mod nodes;
mod requests;
mod samples;
mod stores;

use dfuse_http::{AnswerForm, Api, Charge, Endpoint, Params};
use dfuse_query::{ApiResult, Class, Look};
use maud::html;

use self::samples::Samples;
use crate::page::{HTML, Live, Page};

const FAMILY_BYTES: &str = "dfuse_index_store_bytes";
const JOURNAL_BYTES: &str = "dfuse_index_journal_bytes";
const FREE_BYTES: &str = "dfuse_data_dir_free_bytes";
const REQUESTS: &str = "dfuse_http_requests_total";

pub(crate) fn endpoints() -> Vec<Endpoint> {
    let answer = "A page: the state of the server, for operators.";
    let dashboard = Endpoint::get("/dashboard", Charge::open(Class::LookUp), dashboard);
    vec![dashboard.answers(answer, AnswerForm::Text(HTML)).for_operators()]
}

async fn dashboard(api: Api, params: Params) -> ApiResult<Page> {
    params.finish(())?;
    let look = Look::take(&api, false).await?;
    let text = api.metrics().render();
    let samples = Samples::parse(&text);
    let recent = api.recent();
    let head = look.head.as_ref().map_or(0, |head| head.block.number);
    let content = html! {
        div #figures .live.cards { (figures::figures(&api, &look, &samples)) }
        div.columns {
            section #conditions .live.panel aria-label="Conditions" { h2 { "Conditions" } (conditions::conditions(&api, &look)) }
            section #sources .live.panel aria-label="Sources" {
                h2 { "Source" } (nodes::source(&samples, head))
                h2 { "Nodes" } (nodes::nodes(&api, &samples))
                (nodes::upstreams(&samples))
            }
            section #indexes .live.panel aria-label="Indexes" { h2 { "Indexes" } (stores::indexes(&look)) (stores::families(&samples)) }
        }
        div.columns.halves {
            section #routes .live.panel aria-label="Requests" { h2 { "Requests" } (requests::by_route(&samples)) }
            section #codes .live.panel aria-label="Errors by code" { h2 { "Errors by code" } (requests::by_code(&recent.by_code())) }
            section #searches .live.panel aria-label="Slow searches" {
                h2 { "Slow searches" } (requests::searches(&api.operations().slow_searches()))
            }
            section #slow .live.panel aria-label="Slow requests" { h2 { "Slow requests" } (requests::list("Slow requests", &recent.slow())) }
        }
        section #failed .live.panel aria-label="Errors" { h2 { "Last errors" } (requests::list("Last errors", &recent.failed())) }
    };
    Ok(Page::new("Dashboard", "/metrics", content).and_api("/healthz").following(Live::Every { seconds: 2 }))
}
