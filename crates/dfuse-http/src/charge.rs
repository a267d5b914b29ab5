//! What requests cost those who send them.

use axum::http::StatusCode;
use dfuse_query::{Class, RouteClass, Surface};

/// What the requests of an endpoint cost: each endpoint says it when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// What its reads cost this server.
    pub reads: Class,
    /// What is allowed and limited together with it. Without it, everybody may ask, or operators only
    /// ([`crate::Endpoint::for_operators`]), or the endpoint asks for access itself.
    pub route: Option<RouteClass>,
    /// Whether a request of that class is taken before anything is answered. Otherwise whoever answers takes requests of the
    /// caller.
    pub is_taken_first: bool,
    /// How its answers are counted.
    pub counts: Counts,
}

/// How answers are counted for those who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    /// A request and its documents, at least one. Faults of the server are free, and what was beyond a limit.
    Answers,
    /// The same, but what was not found is free.
    Found,
    /// A request and its documents, which may be none, if the answer is good.
    Results,
    /// A request and a document, whatever came of it.
    Requests,
    /// Nothing.
    Nothing,
}

/// What the requests of an endpoint of a surface cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tariff {
    /// Where it is.
    pub(crate) surface: Surface,
    /// What may be allowed and limited together. Without it, whoever answers sees to that.
    pub(crate) class: Option<RouteClass>,
    /// How answers are counted.
    pub(crate) counts: Counts,
}

impl Charge {
    /// Of an endpoint for those who are admitted.
    pub const fn new(reads: Class, route: RouteClass) -> Self {
        Self { reads, route: Some(route), is_taken_first: true, counts: Counts::Answers }
    }

    /// Of an endpoint that admits everybody, or asks for access itself.
    pub const fn open(reads: Class) -> Self {
        Self { reads, route: None, is_taken_first: true, counts: Counts::Nothing }
    }

    /// The same for an endpoint that takes requests of the caller itself, once it knows what is asked for.
    #[must_use]
    pub const fn taken_by_answer(self) -> Self {
        Self { is_taken_first: false, ..self }
    }

    /// The same with answers that are counted so.
    #[must_use]
    pub const fn counting(self, counts: Counts) -> Self {
        Self { counts, ..self }
    }
}

impl Counts {
    /// Requests and documents that an answer with so many results counts as.
    pub fn of(self, status: StatusCode, documents: u64) -> (u64, u64) {
        match self {
            Self::Nothing => (0, 0),
            Self::Requests => (1, 1),
            Self::Results if status.is_success() => (1, documents),
            Self::Results => (0, 0),
            Self::Found if status == StatusCode::NOT_FOUND => (0, 0),
            Self::Found | Self::Answers if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                (0, 0)
            }
            Self::Found | Self::Answers => (1, documents.max(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_are_worth() {
        for (counts, status, documents, expected) in [
            (Counts::Results, 200, 0, (1, 0)),
            (Counts::Results, 200, 7, (1, 7)),
            (Counts::Results, 400, 1, (0, 0)),
            (Counts::Nothing, 200, 1, (0, 0)),
            (Counts::Found, 200, 1, (1, 1)),
            (Counts::Found, 400, 1, (1, 1)),
            (Counts::Found, 404, 1, (0, 0)),
            (Counts::Requests, 404, 1, (1, 1)),
            (Counts::Answers, 404, 1, (1, 1)),
            (Counts::Answers, 503, 1, (0, 0)),
            (Counts::Answers, 429, 1, (0, 0)),
            (Counts::Answers, 200, 20, (1, 20)),
            (Counts::Answers, 200, 0, (1, 1)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(counts.of(status, documents), expected, "{counts:?} {status}");
        }
    }
}
