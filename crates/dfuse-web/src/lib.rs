//! Pages for people: the explorer and the dashboard. The server renders them; a small script keeps them up to date.
//!
//! ```text
//! request -> Endpoint -> Service::query: use cases, and dfuse JSON of what they found -> Page: HTML
//! ```
//!
//! Values of the chain are made by `dfuse-render`, which makes the API's answers too, so that a page shows what the API answers.
//! Every page names the request that gives the same as JSON.
//!
//! | module | what |
//! |---|---|
//! | `endpoints`, `cookies` | the routes, and what is around them: cookies with tokens, errors as pages |
//! | `page` | what all pages have in common, and their headers |
//! | `errors` | errors as pages, and where a page asks for a key |
//! | `page_key` | the key that pages act with for whoever has none |
//! | `assets` | the style sheet and the script |
//! | `json` | dfuse JSON that keeps its order |
//! | `shown` | texts and values of the chain as HTML, within limits |
//! | `links` | links between pages |
//! | `heights` | the box, the slider and the steps with which a page looks at another block |
//! | `rules` | what parameters of several pages must be |
//! | `rows` | rows of tables as the API shows them |
//! | `home`, `block`, `transaction`, `account`, `key`, `tables`, `contract`, `search`, `tokens` | the pages |
//! | `guide` | the documents that come with dfuse |
//! | `dashboard` | the state of the server, for operators |
//! | `transactions` | lists of transactions |

mod account;
mod assets;
mod block;
mod contract;
mod cookies;
mod dashboard;
mod endpoints;
mod errors;
mod guide;
mod heights;
mod home;
mod json;
mod key;
mod links;
mod page;
mod page_key;
mod rows;
mod rules;
mod search;
mod shown;
mod tables;
mod tokens;
mod transaction;
mod transactions;

pub use endpoints::{Endpoints, Options};
pub use page_key::PageKey;
